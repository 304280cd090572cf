/**
 * One serving process: database, ledger and application behind the shared port.
 * Invariant: it ends only after it drained, whether it is told to (SIGTERM) or has lost its
 * supervisor, whose end of the channel the kernel closes.
 */
import { buildApp } from './app.ts';
import type { Config } from './config.ts';
import { Probe } from './database/probe.ts';
import { Access } from './http/access.ts';
import { routeOf } from './http/routes.ts';
import { GroupCommitLedger } from './ledger/group-commit-ledger.ts';
import type { Logger } from './log.ts';
import { Meter } from './metrics/meter.ts';
import { startReporting } from './reporting.ts';
import { type Server, serve } from './server.ts';
import { hearSupervisor, tellSupervisor } from './worker-channel.ts';

/** Serves until it is told to stop; resolves when everything is closed. */
export async function runWorker(config: Config, logger: Logger): Promise<void> {
  const { server: address, idleTimeoutMs } = config;
  if (!address) throw new Error('Bug: a worker was started without a database server');
  // A terminal that closes sends it to the whole group; what it means the supervisor decides.
  process.on('SIGHUP', () => {});
  const meter = new Meter();
  const access = new Access(meter, logger);
  await hearSupervisor(({ contents }) => {
    access.admit(contents.admission);
    if (address.tls) address.tls.ca = contents.ca;
  });
  const ledger = new GroupCommitLedger(address, config, { logger, meter });
  const probe = new Probe(address);
  const app = buildApp({
    ledger,
    readiness: { answers: () => probe.answers(), isDraining: () => server.isDraining() },
    access,
    logger,
    meter,
    options: config,
  });
  const server: Server = serve(app.fetch, {
    address: config.address,
    idleTimeoutMs,
    reusePort: process.platform === 'linux',
    onAnswer: ({ url }, { status }, seconds) => meter.request(routeOf(url), status, seconds),
  });
  const stopReporting = startReporting(meter, () => ledger.load());
  await tellSupervisor({ kind: 'listening' });

  const reason = await untilStopped();
  logger.info({ reason }, 'draining');
  const began = performance.now();
  await server.drain(config.drainMs);
  await Promise.all([ledger.close(), probe.close()]);
  await stopReporting();
  logger.info({ tookMs: Math.round(performance.now() - began) }, 'drained');
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
