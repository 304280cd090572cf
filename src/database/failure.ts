/**
 * Says what a failed attempt means for the operations it carried.
 * Invariant: `lost` is the answer whenever the attempt may have been committed; only what surely
 * had no effect is called otherwise.
 */

/**
 * - `refused`: no effect, and worth another attempt: no connection was made, or PostgreSQL
 *   answered an error that passes.
 * - `lost`: the connection ended without an answer; the effect is unknown.
 * - `final`: no effect, and another attempt would fail alike.
 */
export type Failure = 'refused' | 'lost' | 'final';

/** No connection was made, so nothing was sent. */
const NOT_CONNECTED = new Set([
  'ECONNREFUSED',
  'ENOENT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'CONNECT_TIMEOUT',
  '57P03', // cannot_connect_now: starting up or shutting down
  '53300', // too_many_connections
]);

/** PostgreSQL's own errors that rolled everything back and pass by themselves. */
const PASSING = new Set([
  '40001', // serialization_failure
  '40P01', // deadlock_detected
  '23505', // unique_violation: two first deposits met
  '25006', // read_only_sql_transaction: a standby, until the fail-over is done
  '55P03', // lock_not_available
  '57014', // query_canceled
]);

/** These end an open connection and can come after COMMIT. */
const CONNECTION_ENDED_BY_SERVER = new Set(['57P01', '57P02']);

/** The SQLSTATE or system error code of what a driver threw. */
export function errorCode(error: unknown): string {
  return String((error as { code?: unknown } | null)?.code ?? '');
}

/** @param error what a postgres.js query was rejected with. */
export function classify(error: unknown): Failure {
  const code = errorCode(error);
  if (NOT_CONNECTED.has(code) || PASSING.has(code) || code.startsWith('53')) return 'refused';
  if (CONNECTION_ENDED_BY_SERVER.has(code)) return 'lost';
  const answeredByServer = (error as { name?: string } | null)?.name === 'PostgresError';
  return answeredByServer ? 'final' : 'lost';
}
