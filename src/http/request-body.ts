/**
 * Reads a request's body: bounded in size and time, JSON only, exact.
 * Invariant: no more than BODY_MAX_BYTES are kept, whatever the client announces or sends.
 */
import { parseExactJson } from './exact-json.ts';
import type { Refusal } from './refusals.ts';

/** An operation has about 70 bytes; a hundred times that is surely a mistake. */
const BODY_MAX_BYTES = 16_384;

/** Beyond this Bun closes the request itself, with a bare 413. */
export const BODY_HARD_STOP_BYTES = 1_048_576;

const JSON_TYPE = /^application\/json\s*(;|$)/i;

const refused = (kind: Refusal['kind']): { refusal: Refusal } => ({ refusal: { kind } });

/** The body of a request, or the first reason to refuse it: size, content type, time. */
export async function receiveJson(
  request: Request,
  timeoutMs: number,
): Promise<Uint8Array | { refusal: Refusal }> {
  const announced = request.headers.get('content-length');
  if (announced !== null && Number(announced) > BODY_MAX_BYTES) return refused('body_too_large');
  if (!JSON_TYPE.test(request.headers.get('content-type') ?? '')) {
    // A body of unknown length is judged by its size first, as an announced one is.
    const tooLarge = announced === null && (await readInTime(request, timeoutMs)) === 'too large';
    return refused(tooLarge ? 'body_too_large' : 'unsupported_media_type');
  }
  const bytes = await readInTime(request, timeoutMs);
  if (bytes === 'too large') return refused('body_too_large');
  if (bytes === 'too slow') return refused('body_too_slow');
  if (bytes === 'cut off') return refused('body_not_json');
  return bytes;
}

type Bytes = Uint8Array | 'too large' | 'too slow' | 'cut off';

function readInTime(request: Request, timeoutMs: number): Promise<Bytes> {
  const { promise: late, resolve } = Promise.withResolvers<Bytes>();
  const timer = setTimeout(() => resolve('too slow'), timeoutMs);
  const announced = request.headers.has('content-length');
  const read: Promise<Bytes> = announced ? request.bytes() : readChunks(request);
  const whole = read.catch((error): Bytes => {
    // The client is gone, or Bun refused its chunks: nobody reads the answer.
    if (request.signal.aborted) return 'cut off';
    throw error;
  });
  return Promise.race([whole, late]).finally(() => clearTimeout(timer));
}

/** For a body of unknown length: stops reading as soon as the limit is passed. */
async function readChunks(request: Request): Promise<Bytes> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    length += chunk.length;
    if (length > BODY_MAX_BYTES) return 'too large';
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The JSON object in a body, or why there is none. */
export function parseJsonObject(bytes: Uint8Array): { value: object } | { refusal: Refusal } {
  try {
    const value = parseExactJson(utf8.decode(bytes));
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? { value } : refused('body_not_object');
  } catch {
    return refused('body_not_json');
  }
}
