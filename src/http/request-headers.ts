/**
 * Reads the headers that say on what terms an operation is to be applied.
 * Invariant: a header that is there is either understood as a whole or refused.
 */
import type { Versions } from '../ledger/ledger.ts';
import { parseTags } from './entity-tags.ts';
import type { Refusal } from './refusals.ts';

export interface Terms {
  key: string | undefined;
  ifMatch: Versions | undefined;
  ifNoneMatch: Versions | undefined;
}

const KEY_MAX_LENGTH = 255;

/** Visible ASCII. Spaces only in quotes: a header that was sent twice arrives joined by ", ". */
const BARE_KEY = /^[\x21\x23-\x7e][\x21-\x7e]*$/;

/** A string of RFC 9651 (structured fields). */
const QUOTED_KEY = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"$/;

const refused = (reason: string): { refusal: Refusal } => ({
  refusal: { kind: 'invalid_header', reason },
});

const TAGS_FAULT = 'must be * or a list of entity tags such as "3", "5"';

/** The terms of an operation, or the first header that is wrong. */
export function readTerms(headers: Headers, isKeyRequired: boolean): Terms | { refusal: Refusal } {
  const sent = headers.get('idempotency-key');
  if (sent === null && isKeyRequired) return refused('Idempotency-Key: is required');
  const key = sent === null ? undefined : parseKey(sent);
  if (sent !== null && key === undefined) {
    return refused(`Idempotency-Key: must be 1 to ${KEY_MAX_LENGTH} printable ASCII characters`);
  }
  const ifMatch = readTags(headers, 'If-Match');
  if (ifMatch === 'malformed') return refused(`If-Match: ${TAGS_FAULT}`);
  const ifNoneMatch = readTags(headers, 'If-None-Match');
  if (ifNoneMatch === 'malformed') return refused(`If-None-Match: ${TAGS_FAULT}`);
  return { key, ifMatch, ifNoneMatch };
}

/** The versions that a client has already. */
export function readIfNoneMatch(
  headers: Headers,
): Pick<Terms, 'ifNoneMatch'> | { refusal: Refusal } {
  const ifNoneMatch = readTags(headers, 'If-None-Match');
  if (ifNoneMatch === 'malformed') return refused(`If-None-Match: ${TAGS_FAULT}`);
  return { ifNoneMatch };
}

/** The same key whether it is quoted, as the draft has it, or bare, as most clients send it. */
function parseKey(value: string): string | undefined {
  const quoted = QUOTED_KEY.exec(value)?.[1]?.replace(/\\(.)/g, '$1');
  const key = quoted ?? BARE_KEY.exec(value)?.[0];
  return key !== undefined && key.length <= KEY_MAX_LENGTH ? key : undefined;
}

function readTags(headers: Headers, name: string): Versions | 'malformed' | undefined {
  const value = headers.get(name);
  return value === null ? undefined : (parseTags(value) ?? 'malformed');
}
