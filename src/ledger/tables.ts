/**
 * The tables that hold what the service promises to keep, in the order in which they are locked,
 * saved and loaded. Invariant: beside them there are only flight slots, which mean nothing once
 * their processes have ended, and the list of migrations.
 */
export const LASTING_TABLES = ['wallets', 'operations', 'idempotency_keys'];
