/**
 * Keeps the service running: the port's claim, the database when it is ours, and the workers.
 * Invariant: what it starts it ends, workers first and database last, and while it runs each
 * worker that dies is replaced.
 */
import { type Config, sqlFolder, workerConnections } from './config.ts';
import { connect } from './database/connection.ts';
import type { EmbeddedDatabase } from './database/embedded.ts';
import { Line } from './database/line.ts';
import { migrate } from './database/migrations.ts';
import { checkServer, waitUntilAnswers } from './database/readiness.ts';
import { removeStaleSlots } from './ledger/flight-slot.ts';
import { pruneKeys } from './ledger/key-pruner.ts';
import type { Logger } from './log.ts';
import { databaseVariables, startOwnDatabase } from './own-database.ts';
import { claimPort } from './port.ts';
import type { ServerAddress } from './server-address.ts';
import type { Environment } from './settings.ts';
import { WorkerKeeper } from './worker-keeper.ts';

export interface Supervision {
  config: Config;
  /** The variables that `config` was read from; workers get them, and the database's address. */
  environment: Environment;
  logger: Logger;
  /** Aborted to stop; a second abort, of `force`, drops everything at once. */
  stop: AbortSignal;
  force: AbortSignal;
}

/**
 * Runs the service until `stop`; resolves when all it started has ended.
 * @throws StartError when the service cannot run; nothing is left running then.
 */
export async function supervise(supervision: Supervision): Promise<void> {
  const { config, logger, stop, force } = supervision;
  const releasePort = await claimPort(config.address);
  let embedded: EmbeddedDatabase | undefined;
  try {
    embedded = config.server ? undefined : await startOwnDatabase(config, logger);
    force.addEventListener('abort', () => embedded?.kill());
    const server = (config.server ?? embedded?.address) as ServerAddress;
    await prepareDatabase(server, supervision);
    if (!stop.aborted) await runWorkers(server, supervision);
  } catch (error) {
    if (!stop.aborted) throw error;
  } finally {
    await embedded?.stop();
    releasePort();
  }
  logger.info('stopped');
}

/** Waits for the database, checks that it suffices, and migrates it. */
async function prepareDatabase(server: ServerAddress, { config, logger, stop }: Supervision) {
  const sql = connect(server, { max: 1, name: 'wallet-supervisor' });
  try {
    await waitUntilAnswers(sql, { timeoutMs: config.startTimeoutMs, signal: stop, logger });
    await checkServer(sql, workerConnections(config));
    const applied = await migrate(sql, sqlFolder);
    if (applied.length > 0) logger.info({ applied }, 'migrated the database');
    await removeStaleSlots(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

async function runWorkers(server: ServerAddress, supervision: Supervision): Promise<void> {
  const { config, environment, logger, stop, force } = supervision;
  const count = process.platform === 'linux' ? config.workers : 1;
  const workers = new WorkerKeeper({ ...environment, ...databaseVariables(server) }, logger);
  force.addEventListener('abort', () => workers.kill());
  const ready = workers.start(count);
  const line = new Line(server, {
    name: 'wallet-pruner',
    attemptTimeoutMs: config.attemptTimeoutMs,
  });
  const pruning = pruneKeys(line, config.keyTtlHours, logger, stop);
  const stopped = new Promise((resolve) => stop.addEventListener('abort', resolve));
  await Promise.race([ready, stopped]);
  if (!stop.aborted) announce(config, count, logger);
  await stopped;
  logger.info('stopping');
  await Promise.all([workers.stop(config.drainMs), pruning.then(() => line.close())]);
}

function announce({ address, server }: Config, workers: number, logger: Logger): void {
  const host = address.host === '' ? 'localhost' : address.host;
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`;
  const database = server ? 'PostgreSQL' : 'embedded PostgreSQL';
  logger.info({ workers, database }, `listening on ${url}, docs at ${url}/swagger`);
}
