/**
 * Reads a request's body: bounded in size and time, JSON only, exact.
 * Invariant: no more than `bodyMaxBytes` are kept, whatever the client announces or sends.
 */
import { parseExactJson } from './exact-json.ts';
import type { Refusal } from './refusals.ts';

export interface BodyLimits {
  bodyMaxBytes: number;
  /** For the arrival of the whole body. */
  requestTimeoutMs: number;
}

/** Beyond this Bun closes the request itself, with a bare 413. */
export const BODY_HARD_STOP_BYTES = 1_048_576;

const JSON_TYPE = /^application\/json\s*(;|$)/i;

type Refused = { refusal: Refusal };

const refused = (kind: Refusal['kind']): Refused => ({ refusal: { kind } });

const tooLarge = ({ bodyMaxBytes }: BodyLimits): Refused => ({
  refusal: { kind: 'body_too_large', reason: `${bodyMaxBytes} bytes` },
});

/** The body of a request, or the first reason to refuse it: size, content type, time. */
export async function receiveJson(
  request: Request,
  limits: BodyLimits,
): Promise<Uint8Array | Refused> {
  const announced = request.headers.get('content-length');
  if (announced !== null && Number(announced) > limits.bodyMaxBytes) return tooLarge(limits);
  if (!JSON_TYPE.test(request.headers.get('content-type') ?? '')) {
    // A body of unknown length is judged by its size first, as an announced one is.
    const isTooLarge = announced === null && (await readInTime(request, limits)) === 'too large';
    return isTooLarge ? tooLarge(limits) : refused('unsupported_media_type');
  }
  const bytes = await readInTime(request, limits);
  if (bytes === 'too large') return tooLarge(limits);
  if (bytes === 'too slow') return refused('body_too_slow');
  if (bytes === 'cut off') return refused('body_not_json');
  return bytes;
}

type Bytes = Uint8Array | 'too large' | 'too slow' | 'cut off';

function readInTime(request: Request, limits: BodyLimits): Promise<Bytes> {
  const { promise: late, resolve } = Promise.withResolvers<Bytes>();
  const timer = setTimeout(() => resolve('too slow'), limits.requestTimeoutMs);
  const announced = request.headers.has('content-length');
  const read: Promise<Bytes> = announced
    ? request.bytes()
    : readChunks(request, limits.bodyMaxBytes);
  const whole = read.catch((error): Bytes => {
    // The client is gone, or Bun refused its chunks: nobody reads the answer.
    if (request.signal.aborted) return 'cut off';
    throw error;
  });
  return Promise.race([whole, late]).finally(() => clearTimeout(timer));
}

/** For a body of unknown length: stops reading as soon as the limit is passed. */
async function readChunks(request: Request, maxBytes: number): Promise<Bytes> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    length += chunk.length;
    if (length > maxBytes) return 'too large';
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The JSON object in a body, or why there is none. */
export function parseJsonObject(bytes: Uint8Array): { value: object } | Refused {
  try {
    const value = parseExactJson(utf8.decode(bytes));
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? { value } : refused('body_not_object');
  } catch {
    return refused('body_not_json');
  }
}
