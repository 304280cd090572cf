/**
 * Waits for a PostgreSQL that is still on its way, and checks that it can carry this service.
 * Invariant: what waiting cannot cure (a wrong password, no such database, a
 * certificate that is not trusted) ends the wait at once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../log.ts';
import { StartError } from '../start-error.ts';
import type { Sql } from './connection.ts';
import { classify, errorCode } from './failure.ts';
import { findTlsFault } from './tls-fault.ts';

const RETRY_MS = 250;

/** After this long another attempt is made; one that is answered late still answers the next. */
const ATTEMPT_MS = 500;

/** Attempts that may fail in silence: the embedded server answers the third. */
const SILENT_ATTEMPTS = 4;

/** PostgreSQL below this lacks what the SQL files use. */
const VERSION_MIN = 15;

/** Connections beside the workers': two of the supervisor's, and a migration, a psql, a backup. */
const SPARE_CONNECTIONS = 5;

export interface Wait {
  timeoutMs: number;
  signal: AbortSignal;
  logger: Logger;
}

/**
 * Resolves when the database answers.
 * @throws StartError after `timeoutMs`, or at once when waiting cannot help.
 */
export async function waitUntilAnswers(sql: Sql, { timeoutMs, signal, logger }: Wait) {
  const {
    host: [host],
    port: [port],
    database,
    user,
  } = sql.options;
  const where = `database "${database}" at ${host}:${port} as user "${user}"`;
  const deadline = Date.now() + timeoutMs;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const attemptMs = Math.min(ATTEMPT_MS, deadline - Date.now());
      await answerWithin(attemptMs, sql`select 1`.execute(), signal);
      return;
    } catch (error) {
      const reason = (error as Error).message || errorCode(error);
      if (classify(error) === 'final') throw new StartError(`${where}: ${reason}`);
      const tlsFault = await findTlsFault(error, { host: String(host), port: Number(port) });
      if (tlsFault) throw new StartError(`${where}: ${tlsFault}`);
      if (Date.now() + RETRY_MS > deadline) {
        throw new StartError(`${where} did not answer in ${timeoutMs} ms: ${reason}`);
      }
      if (attempt === SILENT_ATTEMPTS)
        logger.info({ reason, timeoutMs }, `waiting for the ${where}`);
    }
    await sleep(RETRY_MS, undefined, { signal });
  }
}

/** A server that accepts connections and drops them leaves the query waiting for ever. */
function answerWithin(ms: number, answer: Promise<unknown>, signal: AbortSignal) {
  const late = sleep(ms, undefined, { ref: false, signal });
  return Promise.race([answer, late.then(() => Promise.reject(new Error('no answer')))]);
}

/**
 * @param connections what all workers together may open.
 * @throws StartError when the server is too old or admits too few connections.
 */
export async function checkServer(sql: Sql, connections: number): Promise<void> {
  const [server] = await sql<{ version: number; available: number }[]>`
    select current_setting('server_version_num')::int / 10000 as version,
      current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true), '0')::int as available`;
  if (!server) throw new Error('Bug: a select without a table returned no row');
  if (server.version < VERSION_MIN) {
    throw new StartError(
      `PostgreSQL ${VERSION_MIN} or newer is needed, and this is ${server.version}`,
    );
  }
  const needed = connections + SPARE_CONNECTIONS;
  if (needed <= server.available) return;
  throw new StartError(
    `(WORKERS + 1) x (FLIGHT_SLOTS + 3) + ${SPARE_CONNECTIONS} is ${needed} connections, but ` +
      `the server admits ${server.available}: lower WORKERS or FLIGHT_SLOTS, or raise ` +
      'max_connections',
  );
}
