/**
 * Reads the path and the query of the wallet routes.
 * Invariant: unknown parameters are ignored; of a repeated one the last counts, as in a body.
 */
import { INTEGER_MAX, type Moment, type PageRequest } from '../ledger/ledger.ts';
import { parseInstant } from './instant.ts';
import type { Refusal } from './refusals.ts';
import { decoder, invalid, PageQuery, VersionQuery, WalletPath } from './schema.ts';

type Refused = { refusal: Refusal };

const decodePath = decoder(WalletPath);
const decodeVersion = decoder(VersionQuery);
const decodePage = decoder(PageQuery);

const PAGE_LIMIT = 50n;

/** The digits of an integer without sign or leading zero. */
const DIGITS = /^[1-9]\d{0,18}$/;

const integer = (text: string) => (DIGITS.test(text) ? BigInt(text) : text);

/** Faults of a URL have no place in a body. */
const inUrl = ({ kind, reason = '' }: Refusal): Refused => ({ refusal: { kind, reason } });

/** The wallet that the path names. */
export function readWalletId(digits: string): bigint | Refused {
  const decoded = decodePath({ id: integer(digits) });
  return 'refusal' in decoded ? inUrl(decoded.refusal) : decoded.value.id;
}

/** The moment of the past that the query names; undefined for now. */
export function readMoment(url: string): Moment | Refused | undefined {
  const [version, at] = parameters(url, 'version', 'at');
  if (version !== undefined && at !== undefined) {
    return inUrl(invalid([{ property: 'at', fault: 'must not stand beside version' }]));
  }
  if (version !== undefined) {
    const decoded = decodeVersion({ version: integer(version) });
    return 'refusal' in decoded ? inUrl(decoded.refusal) : decoded.value;
  }
  if (at === undefined) return undefined;
  const instant = parseInstant(at);
  const fault = 'must be a time such as 2026-01-31T23:59:59.999Z (RFC 3339)';
  return instant === undefined ? inUrl(invalid([{ property: 'at', fault }])) : { at: instant };
}

/** Which page of the journal the query asks for. */
export function readPage(url: string): PageRequest | Refused {
  const [limit, before] = parameters(url, 'limit', 'before');
  const decoded = decodePage({
    limit: limit === undefined ? PAGE_LIMIT : integer(limit),
    before: before === undefined ? INTEGER_MAX : integer(before),
  });
  if ('refusal' in decoded) return inUrl(decoded.refusal);
  return { limit: Number(decoded.value.limit), before: decoded.value.before };
}

function parameters(url: string, ...names: string[]): (string | undefined)[] {
  const start = url.indexOf('?');
  if (start < 0) return [];
  const query = new URLSearchParams(url.slice(start));
  return names.map((name) => query.getAll(name).at(-1));
}
