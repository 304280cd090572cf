/**
 * Keeps the service running: the port's claim, the database when it is ours, and the workers.
 * Invariant: what it starts it ends, workers first and database last, and while it runs each
 * worker that dies is replaced.
 */
import type { Config } from './config.ts';
import { type ControlSocket, RELOAD_SIGNAL } from './control-socket.ts';
import type { EmbeddedDatabase } from './database/embedded.ts';
import { Line } from './database/line.ts';
import { prepareDatabase, type Servers, serversOf } from './database-roles.ts';
import { onHangUp } from './hang-up.ts';
import { pruneKeys } from './ledger/key-pruner.ts';
import type { Logger } from './log.ts';
import { startMonitor } from './monitor.ts';
import { databaseVariables, startOwnDatabase } from './own-database.ts';
import { claimPort } from './port.ts';
import { Reloader } from './reload.ts';
import { ReloadedFiles } from './reloaded-files.ts';
import { urlOf } from './server.ts';
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
  onHangUp(() => files.reload());
  // Before the workers are there, it has nothing to replace.
  process.on(RELOAD_SIGNAL, () => {});
  const files = new ReloadedFiles(config, logger);
  const control = await claimPort(config.address);
  let embedded: EmbeddedDatabase | undefined;
  try {
    embedded = config.server ? undefined : await startOwnDatabase(config, logger);
    force.addEventListener('abort', () => embedded?.kill());
    const servers = serversOf(config, embedded);
    await prepareDatabase(servers, supervision);
    if (!stop.aborted) await runWorkers(servers, files, control, supervision);
  } catch (error) {
    if (!stop.aborted) throw error;
  } finally {
    await embedded?.stop();
    control.release();
  }
  logger.info('stopped');
}

async function runWorkers(
  servers: Servers,
  files: ReloadedFiles,
  control: ControlSocket,
  supervision: Supervision,
): Promise<void> {
  const { config, environment, logger, stop, force } = supervision;
  const { service } = servers;
  const monitor = startMonitor(service, () => keeper.workers, config, logger);
  const keeper: WorkerKeeper = new WorkerKeeper(
    {
      environment: { ...environment, ...databaseVariables(service) },
      logger,
      collector: monitor.collector,
      onDeath: monitor.countDeath,
      message: () => ({ kind: 'files', contents: files.contents }),
    },
    config.drainMs,
  );
  files.onReload = () => keeper.inform();
  force.addEventListener('abort', () => keeper.kill());
  const count = process.platform === 'linux' ? config.workers : 1;
  const ready = keeper.start(count);
  const line = new Line(service, {
    name: 'wallet-pruner',
    attemptTimeoutMs: config.attemptTimeoutMs,
  });
  const pruning = pruneKeys(line, config.keyTtlHours, logger, stop);
  const stopped = new Promise((resolve) => stop.addEventListener('abort', resolve));
  await Promise.race([ready, stopped]);
  const reloader = new Reloader(keeper, servers, control, supervision);
  process.on(RELOAD_SIGNAL, () => reloader.ask());
  if (!stop.aborted) announce(config, count, logger);
  await stopped;
  logger.info('stopping');
  const began = performance.now();
  await Promise.all([keeper.stop(), pruning.then(() => line.close()), monitor.stop()]);
  logger.info({ tookMs: Math.round(performance.now() - began) }, 'all workers have ended');
}

function announce({ address, server, tokensFile }: Config, workers: number, logger: Logger): void {
  const url = urlOf(address);
  const database = server ? 'PostgreSQL' : 'embedded PostgreSQL';
  const access = tokensFile === undefined ? 'everybody' : 'with a token';
  logger.info({ workers, database, access }, `listening on ${url}, docs at ${url}/swagger`);
}
