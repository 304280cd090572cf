/**
 * The database that the service brings along, and how a child process is told where it is.
 * Invariant: the variables name the server exactly as `readConfig` reads them.
 */
import type { Config, ServerAddress } from './config.ts';
import { type EmbeddedDatabase, startEmbedded } from './database/embedded.ts';
import type { Logger } from './log.ts';
import type { Environment } from './settings.ts';

/** Starts the embedded PostgreSQL with room for all workers. */
export function startOwnDatabase(config: Config, logger: Logger): Promise<EmbeddedDatabase> {
  const { dataDirectory, workers, poolSize } = config;
  logger.info({ dataDirectory }, 'starting the embedded PostgreSQL');
  return startEmbedded({ dataDirectory, connections: workers * poolSize, logger });
}

/** The variables that name a server. */
export function databaseVariables(server: ServerAddress): Environment {
  const { host, port, user, password, name } = server;
  return {
    DATABASE_URL: '',
    DB_HOST: host,
    DB_PORT: String(port),
    DB_USER: user,
    DB_PASSWORD: password,
    DB_NAME: name,
  };
}
