/**
 * Lets a request under /api go on only with a token of the right scope (RFC 6750).
 * Invariant: nobody is let in before `admit` was called; what was sent is compared with every token
 * in constant time, and neither it nor its hash is ever logged, counted or answered.
 */
import { timingSafeEqual } from 'node:crypto';
import type { Logger } from '../log.ts';
import type { Admission, Token } from '../token-file.ts';
import { refuse } from './envelope.ts';
import { RefusedLog } from './refused-log.ts';

/** `invalid`: no token that is known. `scope`: one that may not do this. */
export type AccessRefusal = 'missing' | 'invalid' | 'scope';

/** Who counts the requests of each token, and those without a right one. */
export interface AccessMeter {
  token(name: string): void;
  unauthorized(reason: AccessRefusal): void;
}

type Known = Token & { hash: Uint8Array };

const BEARER = /^bearer +/i;

/** RFC 6750 names the characters. Two headers, which arrive joined by a comma, are not one. */
const SECRET = /^[A-Za-z0-9._~+/-]{1,512}={0,2}$/;

const CHALLENGE = 'Bearer realm="wallet"';

/** The gate of one worker. */
export class Access {
  readonly #meter: AccessMeter;
  readonly #log: RefusedLog;
  #known: Known[] | 'everybody' = [];

  constructor(meter: AccessMeter, logger: Logger) {
    this.#meter = meter;
    this.#log = new RefusedLog(logger);
  }

  /** From now on these alone are let in. */
  admit(admission: Admission): void {
    this.#known =
      admission === 'everybody'
        ? admission
        : admission.map((token) => ({ ...token, hash: Buffer.from(token.sha256, 'hex') }));
  }

  /** The answer to a request that may not go on; undefined for one that may. */
  judge(request: Request): Response | undefined {
    if (this.#known === 'everybody') return undefined;
    const secret = secretOf(request);
    if (secret === undefined) return this.#refuse(request, 'missing');
    const token = find(this.#known, secret);
    if (!token) return this.#refuse(request, 'invalid');
    const isReading = request.method === 'GET' || request.method === 'HEAD';
    if (!isReading && token.scope !== 'write') return this.#refuse(request, 'scope', token.name);
    this.#meter.token(token.name);
    return undefined;
  }

  /** The name of the token that a request came with, for the log. */
  nameOf(request: Request): string | undefined {
    const secret = secretOf(request);
    return this.#known === 'everybody' || secret === undefined
      ? undefined
      : find(this.#known, secret)?.name;
  }

  #refuse(request: Request, reason: AccessRefusal, token?: string): Response {
    this.#meter.unauthorized(reason);
    this.#log.refused(request, { reason, token });
    if (reason === 'scope') {
      const challenge = `${CHALLENGE}, error="insufficient_scope", scope="write"`;
      return refuse(request, { kind: 'forbidden' }, { 'www-authenticate': challenge });
    }
    const challenge = reason === 'invalid' ? `${CHALLENGE}, error="invalid_token"` : CHALLENGE;
    return refuse(request, { kind: 'unauthorized' }, { 'www-authenticate': challenge });
  }
}

/** What stands behind `Bearer`; undefined where nothing of that kind was sent. */
function secretOf({ headers }: Request): string | undefined {
  const sent = headers.get('authorization');
  const scheme = sent === null ? null : BEARER.exec(sent);
  return scheme ? sent?.slice(scheme[0].length) : undefined;
}

/** Looks at every token, also behind the right one, so that the time tells nothing. */
function find(known: Known[], secret: string): Known | undefined {
  if (!SECRET.test(secret)) return undefined;
  const hash = Bun.SHA256.hash(secret) as Uint8Array;
  let found: Known | undefined;
  for (const token of known) if (timingSafeEqual(token.hash, hash)) found = token;
  return found;
}
