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

/** How OpenSSL and Node name a certificate that is refused, which ends the TLS handshake. */
const CERTIFICATE_REFUSED = new Set([
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'HOSTNAME_MISMATCH',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY',
  'UNABLE_TO_DECRYPT_CERT_SIGNATURE',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'CERT_CHAIN_TOO_LONG',
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'CERT_REJECTED',
  'CERT_REVOKED',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'ERROR_IN_CERT_NOT_AFTER_FIELD',
  'ERROR_IN_CERT_NOT_BEFORE_FIELD',
  'INVALID_CA',
  'INVALID_PURPOSE',
  'PATH_LENGTH_EXCEEDED',
]);

/** How Node begins the message when a server ends the handshake; its code is that of any reset. */
const HANDSHAKE_CUT = 'Client network socket disconnected before secure TLS connection';

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

/** Whether the server's certificate was not trusted; nothing was sent. */
export function refusesCertificate(error: unknown): boolean {
  return CERTIFICATE_REFUSED.has(errorCode(error));
}

/** Whether the server ended the connection instead of encrypting it; nothing was sent. */
export function isHandshakeCut(error: unknown): boolean {
  return String((error as Error | null)?.message).startsWith(HANDSHAKE_CUT);
}

/** @param error what a postgres.js query was rejected with. */
export function classify(error: unknown): Failure {
  const code = errorCode(error);
  if (NOT_CONNECTED.has(code) || PASSING.has(code) || code.startsWith('53')) return 'refused';
  if (refusesCertificate(error) || isHandshakeCut(error)) return 'refused';
  if (CONNECTION_ENDED_BY_SERVER.has(code)) return 'lost';
  const answeredByServer = (error as { name?: string } | null)?.name === 'PostgresError';
  return answeredByServer ? 'final' : 'lost';
}
