/**
 * Opens postgres.js clients the one way this service uses them.
 * Invariant: every option is passed explicitly, so that no PG* variable of the environment can
 * change where the money goes; every connection is READ COMMITTED.
 */
import { getCACertificates } from 'node:tls';
import postgres from 'postgres';
import type { ServerAddress } from '../server-address.ts';

export type Sql = postgres.Sql<{ bigint: bigint }>;

export interface ConnectionOptions {
  /** Connections at the most; each opens when it is first needed. */
  max: number;
  /** Shown in pg_stat_activity. */
  name: string;
  /** After this long the server ends a statement by itself; 0, the default, is never. */
  statementTimeoutMs?: number;
  /** Called when a connection has ended, whoever ended it. */
  onclose?: () => void;
}

/** A connection attempt that takes longer than this is given up, and tried again by its caller. */
const CONNECT_TIMEOUT_SECONDS = 3;

/** Seconds to wait before connecting again. The library's default took 11.7 s after a restart. */
const reconnectDelay = () => 0.05 + Math.random() * 0.1;

/** A client of the server at `address`. Nothing is sent before the first query. */
export function connect(address: ServerAddress, options: ConnectionOptions): Sql {
  const { host, port, user, password } = address;
  const { max, name, statementTimeoutMs = 0, onclose } = options;
  return postgres({
    // As lists, because a text would be split at the colons of an IPv6 address.
    host: [host],
    port: [port],
    ...(host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : {}),
    user,
    // As a function, because an empty string would fall through to PGPASSWORD.
    password: () => password,
    database: address.name,
    ssl: encryption(address),
    max,
    connect_timeout: CONNECT_TIMEOUT_SECONDS,
    backoff: reconnectDelay,
    idle_timeout: null,
    max_lifetime: null,
    max_pipeline: 1,
    keep_alive: 60,
    prepare: true,
    debug: false,
    fetch_types: false,
    publications: 'alltables',
    target_session_attrs: undefined,
    onnotice: () => {},
    onclose,
    types: { bigint: postgres.BigInt },
    connection: {
      application_name: name,
      default_transaction_isolation: 'read committed',
      statement_timeout: statementTimeoutMs,
      // Plans made while a table is empty, or for the arrays at hand, are bad or dear: with these
      // two, a flight's plans are made once per connection and always go by the index.
      enable_seqscan: 'off',
      plan_cache_mode: 'force_generic_plan',
      // The server looks every second whether its client is still there while a query runs.
      client_connection_check_interval: 1000,
    },
  } as unknown as postgres.Options<{ bigint: postgres.PostgresType<bigint> }>);
}

/** A CA that the address holds from later on counts for the clients that are made then. */
function encryption({ tls }: ServerAddress) {
  if (!tls) return false;
  if (tls.mode === 'require') return { rejectUnauthorized: false };
  return { rejectUnauthorized: true, ca: tls.ca ?? getCACertificates('system') };
}
