/**
 * The registry of refusals: every way in which a request is not fulfilled, with its HTTP status
 * and message. Invariant: no status or message of a refusal stands anywhere else, and a message
 * tells the client what to do but never what a driver said.
 */

export interface RefusalEntry {
  status: number;
  /** The whole message, or its beginning where the refusal carries a detail. */
  message: string;
  /** Seconds after which another try is worth while. */
  retryAfter?: number;
  /** Whether the connection ends with the answer, so that the rest of the request is not read. */
  isLast?: boolean;
}

/** In the order in which a request is judged. */
export const refusals = {
  unknown_path: { status: 404, message: 'not found' },
  method_not_allowed: { status: 405, message: 'method not allowed' },
  unauthorized: { status: 401, message: 'Authorization: must be Bearer and a token that is known' },
  forbidden: { status: 403, message: 'Authorization: the token may read only' },
  body_too_large: { status: 413, message: 'body: must not be larger than ' },
  unsupported_media_type: {
    status: 415,
    message: 'Content-Type: must be application/json',
  },
  body_too_slow: { status: 408, message: 'body: did not arrive in time', isLast: true },
  invalid_header: { status: 400, message: '' },
  body_not_json: { status: 400, message: 'body: must be JSON' },
  body_not_object: { status: 400, message: 'body: must be a JSON object' },
  invalid_request: { status: 400, message: '' },
  not_applied: { status: 503, message: 'not applied: ', retryAfter: 1 },
  outcome_unknown: { status: 503, message: 'outcome unknown: ', retryAfter: 1 },
  key_reused: { status: 422, message: 'idempotency key was used with another request' },
  precondition_failed: { status: 412, message: 'precondition failed' },
  insufficient_funds: { status: 400, message: 'insufficient funds' },
  wallet_not_found: { status: 400, message: 'wallet not found' },
  balance_limit: { status: 400, message: 'balance limit exceeded' },
  no_wallet: { status: 404, message: 'wallet not found' },
  no_version: { status: 404, message: 'version not found' },
  not_ready: { status: 503, message: 'not ready: ', retryAfter: 1 },
  internal_error: { status: 500, message: 'internal error' },
} as const satisfies Record<string, RefusalEntry>;

export type RefusalKind = keyof typeof refusals;

export interface Refusal {
  kind: RefusalKind;
  /** Completes the registry's message. */
  reason?: string;
  /** What is wrong with each property of the body. */
  faults?: PropertyFault[];
  /** The wallet's balance, and how much more a withdrawal asked for. */
  balance?: bigint;
  shortfall?: bigint;
}

export interface PropertyFault {
  property: string;
  /** Completes "<property>: ". */
  fault: string;
}
