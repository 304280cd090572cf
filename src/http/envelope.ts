/**
 * Writes every answer of the service: `{"success", "message", "data"}` as JSON.
 * Invariant: no other code builds the body of an answer under /api or of a probe.
 */
import { type Refusal, type RefusalEntry, refusals } from './refusals.ts';

const JSON_HEADERS = { 'content-type': 'application/json' };

const SUCCESS: ResponseInit = { status: 200, headers: JSON_HEADERS };

/** 200 with `data`, which must be JSON text; bigints print exactly that way. */
export function succeed(data: string): Response {
  return new Response(`{"success":true,"message":"","data":${data}}`, SUCCESS);
}

/** A wallet as `data`. */
export function walletJson(id: bigint, amount: bigint): string {
  return `{"id":${id},"amount":${amount}}`;
}

/** The registry's status and message for a refusal; `headers` adds to what it prescribes. */
export function refuse({ kind, reason = '' }: Refusal, headers: Record<string, string> = {}) {
  const { status, message, retryAfter }: RefusalEntry = refusals[kind];
  const text = JSON.stringify(message + reason);
  return new Response(`{"success":false,"message":${text},"data":null}`, {
    status,
    headers: {
      ...JSON_HEADERS,
      ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }),
      ...headers,
    },
  });
}
