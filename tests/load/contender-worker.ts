/**
 * One worker process of a contender: the application of src/worker.ts over another ledger, or over
 * the same with metrics and without.
 * Invariant: it ends with the process that started it, whose end of the channel the kernel closes.
 *
 *     bun tests/load/contender-worker.ts memory
 *     bun tests/load/contender-worker.ts classical CONNECTIONS
 *     bun tests/load/contender-worker.ts counted|uncounted
 */
import { buildApp } from '../../src/app.ts';
import { type Config, readConfig } from '../../src/config.ts';
import { connect } from '../../src/database/connection.ts';
import { Access } from '../../src/http/access.ts';
import { routeOf } from '../../src/http/routes.ts';
import { GroupCommitLedger } from '../../src/ledger/group-commit-ledger.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { createLogger } from '../../src/log.ts';
import { Meter } from '../../src/metrics/meter.ts';
import { startReporting } from '../../src/reporting.ts';
import { serve } from '../../src/server.ts';
import { ClassicalLedger } from './classical-ledger.ts';
import { MemoryLedger } from './memory-ledger.ts';

const config = readConfig();
const { address, idleTimeoutMs } = config;

const silent = { operation() {}, landed() {}, resent() {}, token() {}, unauthorized() {} };
const logger = createLogger('contender', config.logLevel);
const words = process.argv.slice(2);
const counting = words[0] === 'counted' ? new Meter() : undefined;
const meter = counting ?? silent;
const access = new Access(meter, logger);
access.admit('everybody');
const app = buildApp({
  ledger: openLedger(config, words),
  readiness: { answers: () => Promise.resolve(true), isDraining: () => false },
  access,
  logger,
  meter,
  options: config,
});
serve(app.fetch, {
  address,
  idleTimeoutMs,
  reusePort: process.platform === 'linux',
  onAnswer: counting
    ? ({ url }, { status }, seconds) => counting.request(routeOf(url), status, seconds)
    : () => {},
});
process.on('disconnect', () => process.exit(0));
process.on('SIGINT', () => {});
process.send?.('ready');

function openLedger({ server }: Config, [kind, size]: string[]): Ledger {
  if (kind === 'memory') return withoutJournal(new MemoryLedger());
  if (!server) throw new Error('Bug: a contender without a database');
  if (kind === 'counted' || kind === 'uncounted') {
    const ledger = new GroupCommitLedger(server, config, { logger, meter });
    if (counting) startReporting(counting, () => ledger.load());
    return ledger;
  }
  if (kind !== 'classical') throw new Error(`Bug: no ledger "${kind}"`);
  const sql = connect(server, { max: Number(size), name: `classical-${size}` });
  return withoutJournal(new ClassicalLedger(sql));
}

function withoutJournal(contender: Pick<Ledger, 'apply' | 'balance'>): Ledger {
  const none = () => Promise.reject(new Error('a contender keeps no journal'));
  return {
    apply: (operation) => contender.apply(operation),
    balance: (walletId) => contender.balance(walletId),
    balanceAt: none,
    operations: none,
  };
}
