/**
 * Describes what a route answers, out of the registry of refusals and the schemas of answers.
 * Invariant: every refusal is named with its status and an example, in both of its forms.
 */
import { type TSchema, Type } from 'typebox';
import { PROBLEM_TYPE, problemTitle, problemType } from './problem.ts';
import { type RefusalKind, refusals } from './refusals.ts';
import { Problem } from './schema.ts';

/** Completes the messages of refusals where the registry has only their beginning. */
export type Reasons = Partial<Record<RefusalKind, string>>;

/** The answer to a request that was fulfilled. */
export interface Fulfilled {
  description: string;
  /** Of `data` in the envelope. */
  data: TSchema;
  example: unknown;
  headers?: Record<string, ReturnType<typeof header>>;
  /** Whether the client may have it already. */
  isConditional?: boolean;
}

const Failure = Type.Object({
  success: Type.Boolean({ enum: [false] }),
  message: Type.String({ description: 'what was wrong, or what happened' }),
  data: Type.Unsafe<null>({ type: 'object', nullable: true, enum: [null] }),
});

const header = (description: string, type: 'integer' | 'string') => ({
  description,
  schema: { type },
});

const RETRY_AFTER = { 'Retry-After': header('seconds to wait', 'integer') };
const CHALLENGE = { 'WWW-Authenticate': header('what is wanted, as RFC 6750 has it', 'string') };

/** The headers of refusals, by status. */
const HEADERS: Record<number, object> = { 401: CHALLENGE, 403: CHALLENGE, 503: RETRY_AFTER };

/** The headers of an answer about a wallet, and of one that repeats an earlier answer. */
export const ETAG = { ETag: header('the version of the wallet, in quotes', 'string') };
export const REPLAYED_HEADER = {
  'Idempotency-Replayed': header(
    '`true` when this is the answer to an earlier use of the key',
    'string',
  ),
};

/** Content of one type. */
export const json = (schema: TSchema, examples: Record<string, { value: unknown }>) => ({
  'application/json': { schema, examples },
});

/** The answers of a route by status: what it is asked for, and its refusals. */
export function responses(fulfilled: Fulfilled, kinds: RefusalKind[], reasons: Reasons) {
  const { description, data, example, headers = ETAG, isConditional = false } = fulfilled;
  const Success = Type.Object({
    success: Type.Boolean({ enum: [true] }),
    message: Type.String({ enum: [''] }),
    data,
  });
  const value = { success: true, message: '', data: example };
  const byStatus = Map.groupBy(kinds, (kind) => refusals[kind].status);
  return {
    200: { description, headers, content: json(Success, { ok: { value } }) },
    ...(isConditional
      ? { 304: { description: 'the client has this version', headers: ETAG } }
      : {}),
    ...Object.fromEntries(
      [...byStatus].map(([status, group]) => [status, refused(group, reasons)]),
    ),
  };
}

function refused(kinds: RefusalKind[], reasons: Reasons) {
  const headers = HEADERS[refusals[kinds[0] as RefusalKind].status];
  const examples = kinds.map((kind) => {
    const { status, message } = refusals[kind];
    const detail = message + (reasons[kind] ?? '');
    const problem = { type: problemType(kind), title: problemTitle(kind), status, detail };
    return [kind, { success: false, message: detail, data: null }, problem] as const;
  });
  const envelopes = examples.map(([kind, value]) => [kind, { value }] as const);
  const problems = examples.map(([kind, , value]) => [kind, { value }] as const);
  return {
    description: kinds.map(problemTitle).join('; '),
    ...(headers && { headers }),
    content: {
      ...json(Failure, Object.fromEntries(envelopes)),
      [PROBLEM_TYPE]: { schema: Problem, examples: Object.fromEntries(problems) },
    },
  };
}
