/**
 * One serving process: database, ledger and application behind the shared port.
 * Invariant: it ends only after it drained, whether it is told to (SIGTERM) or has lost its
 * supervisor, whose end of the channel the kernel closes.
 */
import { buildApp } from './app.ts';
import type { Config } from './config.ts';
import { Probe } from './database/probe.ts';
import { GroupCommitLedger } from './ledger/group-commit-ledger.ts';
import type { Logger } from './log.ts';
import { type Server, serve } from './server.ts';

/** Serves until it is told to stop; resolves when everything is closed. */
export async function runWorker(config: Config, logger: Logger): Promise<void> {
  const { server: address, idleTimeoutMs } = config;
  if (!address) throw new Error('Bug: a worker was started without a database server');
  const ledger = new GroupCommitLedger(address, config, logger);
  const probe = new Probe(address);
  const app = buildApp({
    ledger,
    readiness: { answers: () => probe.answers(), isDraining: () => server.isDraining() },
    logger,
    options: config,
  });
  const server: Server = serve(app.fetch, {
    address: config.address,
    idleTimeoutMs,
    reusePort: process.platform === 'linux',
  });
  process.send?.('ready');

  const reason = await untilStopped();
  logger.info({ reason }, 'draining');
  await server.drain(config.drainMs);
  await Promise.all([ledger.close(), probe.close()]);
  logger.info('drained');
}

/** A terminal's Ctrl-C reaches the whole group; the supervisor answers it with a SIGTERM to us. */
function untilStopped(): Promise<string> {
  return new Promise((resolve) => {
    process.on('SIGTERM', () => resolve('SIGTERM'));
    process.on('disconnect', () => resolve('the supervisor is gone'));
    process.on('SIGINT', () => {
      if (!process.channel) resolve('SIGINT');
    });
  });
}
