/**
 * One serving process: database, ledger and application behind the shared port.
 * Invariant: it ends only after it drained, whether it is told to (SIGTERM) or has lost its
 * supervisor, whose end of the channel the kernel closes.
 */
import { buildApp } from './app.ts';
import type { Config } from './config.ts';
import { connect, type Sql } from './database/connection.ts';
import { ClassicalLedger } from './ledger/classical-ledger.ts';
import type { Logger } from './log.ts';
import { type Server, serve } from './server.ts';

/** How long connections may take to say goodbye to PostgreSQL. */
const DISCONNECT_SECONDS = 1;

/** Serves until it is told to stop; resolves when everything is closed. */
export async function runWorker(config: Config, logger: Logger): Promise<void> {
  const { server: address, requestTimeoutMs, queueMax, poolSize } = config;
  if (!address) throw new Error('Bug: a worker was started without a database server');
  const sql = connect(address, { max: poolSize - 1, name: 'wallet-worker' });
  const probeSql = connect(address, { max: 1, name: 'wallet-probe' });
  const limits = { concurrency: poolSize - 1, queueMax, requestTimeoutMs };
  const app = buildApp({
    ledger: new ClassicalLedger(sql, limits),
    readiness: { probe: probeOf(probeSql), isDraining: () => server.isDraining() },
    logger,
    options: { requestTimeoutMs },
  });
  const server: Server = serve(app.fetch, {
    address: config.address,
    requestTimeoutMs,
    reusePort: process.platform === 'linux',
  });
  process.send?.('ready');

  const reason = await untilStopped();
  logger.info({ reason }, 'draining');
  await server.drain(config.drainMs);
  await Promise.all([sql, probeSql].map((client) => client.end({ timeout: DISCONNECT_SECONDS })));
  logger.info('drained');
}

/** One question to the database at a time: callers that come meanwhile share its answer. */
function probeOf(sql: Sql): () => Promise<unknown> {
  let pending: Promise<unknown> | undefined;
  return () => {
    pending ??= sql`select 1`.execute().finally(() => {
      pending = undefined;
    });
    return pending;
  };
}

/** A terminal's Ctrl-C reaches the whole group; the supervisor answers it with a SIGTERM to us. */
function untilStopped(): Promise<string> {
  return new Promise((resolve) => {
    process.on('SIGTERM', () => resolve('SIGTERM'));
    process.on('disconnect', () => resolve('the supervisor is gone'));
    process.on('SIGINT', () => process.channel ?? resolve('SIGINT'));
  });
}
