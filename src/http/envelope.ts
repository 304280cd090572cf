/**
 * Writes every answer of the service: `{"success", "message", "data"}` as JSON, and refusals as
 * problem details (RFC 9457) for clients that ask for them.
 * Invariant: no other code builds the body of an answer under /api or of a probe.
 */
import { entityTag } from './entity-tags.ts';
import { PROBLEM_TYPE, problemJson, wantsProblem } from './problem.ts';
import { type Refusal, type RefusalEntry, refusals } from './refusals.ts';

const JSON_TYPE = 'application/json';

const SUCCESS: ResponseInit = { status: 200, headers: { 'content-type': JSON_TYPE } };

/** Says that an answer is the one that the key's first use got. */
export const REPLAYED: Record<string, string> = { 'idempotency-replayed': 'true' };

const envelope = (data: string) => `{"success":true,"message":"","data":${data}}`;

/** 200 with `data`, which must be JSON text; bigints print exactly that way. */
export function succeed(data: string): Response {
  return new Response(envelope(data), SUCCESS);
}

/** 200 with what a wallet was or is at a version, which is its tag. */
export function succeedAt(version: bigint, data: string, headers?: Record<string, string>) {
  return new Response(envelope(data), {
    status: 200,
    headers: { 'content-type': JSON_TYPE, etag: entityTag(version), ...headers },
  });
}

/** 304: the client has this version already. */
export const notModified = (version: bigint) =>
  new Response(null, { status: 304, headers: { etag: entityTag(version) } });

/** A wallet as `data`. */
export function walletJson(id: bigint, amount: bigint): string {
  return `{"id":${id},"amount":${amount}}`;
}

/** The registry's status and message for a refusal; `headers` adds to what it prescribes. */
export function refuse(request: Request, refusal: Refusal, headers: Record<string, string> = {}) {
  const { status, message, retryAfter, isLast }: RefusalEntry = refusals[refusal.kind];
  const text = message + (refusal.reason ?? '');
  const isProblem = wantsProblem(request.headers.get('accept'));
  const body = isProblem
    ? problemJson(refusal, status, text)
    : `{"success":false,"message":${JSON.stringify(text)},"data":null}`;
  return new Response(body, {
    status,
    headers: {
      'content-type': isProblem ? PROBLEM_TYPE : JSON_TYPE,
      ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }),
      ...(isLast ? { connection: 'close' } : {}),
      ...headers,
    },
  });
}
