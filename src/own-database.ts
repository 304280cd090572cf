/**
 * The database that the service brings along, and how a child process is told where it is.
 * Invariant: the variables name the server exactly as `readConfig` reads them.
 */
import { readCa } from './ca-file.ts';
import { type Config, workerConnections } from './config.ts';
import { connect, type Sql } from './database/connection.ts';
import { type EmbeddedDatabase, findEmbedded, startEmbedded } from './database/embedded.ts';
import { waitUntilAnswers } from './database/readiness.ts';
import type { Logger } from './log.ts';
import type { ServerAddress } from './server-address.ts';
import type { Environment } from './settings.ts';

/** Starts the embedded PostgreSQL with room for all workers. */
export function startOwnDatabase(config: Config, logger: Logger): Promise<EmbeddedDatabase> {
  const { dataDirectory } = config;
  logger.info({ dataDirectory }, 'starting the embedded PostgreSQL');
  return startEmbedded({ dataDirectory, connections: workerConnections(config), logger });
}

/** The variables that name a server, and its owner, if the process is to know of one. */
export function databaseVariables(
  { host, port, user, password, name, tls }: ServerAddress,
  owner?: Config['owner'],
): Environment {
  return {
    DATABASE_URL: '',
    DB_HOST: host,
    DB_PORT: String(port),
    DB_USER: user,
    DB_PASSWORD: password,
    DB_NAME: name,
    DB_OWNER_USER: owner?.user ?? '',
    DB_OWNER_PASSWORD: owner?.password ?? '',
    DB_SSL: tls?.mode ?? '',
    DB_SSL_CA_FILE: tls?.caFile ?? '',
  };
}

/**
 * Lets `work` use the database of the service: the server that the configuration names, the
 * embedded one where it is running, or else the embedded one, started for as long as it takes.
 */
export async function useDatabase<Result>(
  config: Config,
  logger: Logger,
  work: (sql: Sql) => Promise<Result>,
): Promise<Result> {
  const named = config.server && { ...config.server, ...config.owner };
  if (named?.tls) named.tls.ca = readCa(named.tls);
  const running = named ?? (await findEmbedded(config.dataDirectory));
  const embedded = running ? undefined : await startOwnDatabase(config, logger);
  const server = (running ?? embedded?.address) as ServerAddress;
  const sql = connect(server, { max: 1, name: 'wallet-command' });
  try {
    const { signal } = new AbortController();
    await waitUntilAnswers(sql, { timeoutMs: config.startTimeoutMs, signal, logger });
    return await work(sql);
  } finally {
    await sql.end({ timeout: 1 });
    await embedded?.stop();
  }
}
