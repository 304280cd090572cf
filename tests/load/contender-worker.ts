/**
 * One worker process of a contender: the application of src/worker.ts over another ledger, without
 * metrics.
 * Invariant: it ends with the process that started it, whose end of the channel the kernel closes.
 *
 *     bun tests/load/contender-worker.ts memory
 *     bun tests/load/contender-worker.ts classical CONNECTIONS
 *     bun tests/load/contender-worker.ts uncounted
 */
import { buildApp } from '../../src/app.ts';
import { type Config, readConfig } from '../../src/config.ts';
import { connect } from '../../src/database/connection.ts';
import { Access } from '../../src/http/access.ts';
import { GroupCommitLedger } from '../../src/ledger/group-commit-ledger.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { createLogger } from '../../src/log.ts';
import { serve } from '../../src/server.ts';
import { ClassicalLedger } from './classical-ledger.ts';
import { MemoryLedger } from './memory-ledger.ts';

const config = readConfig();
const { address, idleTimeoutMs } = config;

const silent = { operation() {}, landed() {}, resent() {}, token() {}, unauthorized() {} };
const logger = createLogger('contender', config.logLevel);
const access = new Access(silent, logger);
access.admit('everybody');
const app = buildApp({
  ledger: openLedger(config, process.argv.slice(2)),
  readiness: { answers: () => Promise.resolve(true), isDraining: () => false },
  access,
  logger,
  meter: silent,
  options: config,
});
serve(app.fetch, {
  address,
  idleTimeoutMs,
  reusePort: process.platform === 'linux',
  onAnswer: () => {},
});
process.on('disconnect', () => process.exit(0));
process.on('SIGINT', () => {});
process.send?.('ready');

function openLedger({ server }: Config, [kind, size]: string[]): Ledger {
  if (kind === 'memory') return withoutJournal(new MemoryLedger());
  if (!server) throw new Error('Bug: a contender without a database');
  if (kind === 'uncounted') return new GroupCommitLedger(server, config, { logger, meter: silent });
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
