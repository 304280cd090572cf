/**
 * The names of all settings, in the order of config.env.example.
 * Invariant: a name that is not here is read nowhere, so a file that has one has a mistake in it.
 */

const NAMES = [
  'APP_ADDRESS',
  'METRICS_ADDRESS',
  'API_TOKENS_FILE',
  'WORKERS',
  'DB_HOST',
  'DB_PORT',
  'DB_USER',
  'DB_PASSWORD',
  'DB_NAME',
  'DATABASE_URL',
  'DB_OWNER_USER',
  'DB_OWNER_PASSWORD',
  'DB_SSL',
  'DB_SSL_CA_FILE',
  'DATA_DIR',
  'FLIGHT_SLOTS',
  'BATCH_MAX',
  'DB_START_TIMEOUT_MS',
  'REQUEST_TIMEOUT_MS',
  'IDLE_TIMEOUT_MS',
  'BODY_MAX_BYTES',
  'ATTEMPT_TIMEOUT_MS',
  'QUEUE_MAX',
  'IDEMPOTENCY_KEY_REQUIRED',
  'IDEMPOTENCY_KEY_TTL_HOURS',
  'DRAIN_MS',
  'LOG_LEVEL',
];

/** Those of the names that are no settings. */
export const unknownOf = (names: string[]) => names.filter((name) => !NAMES.includes(name));
