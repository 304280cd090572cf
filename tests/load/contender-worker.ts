/**
 * One worker process of a contender: the very application of src/worker.ts over another ledger.
 * Invariant: it ends with the process that started it, whose end of the channel the kernel closes.
 *
 *     bun tests/load/contender-worker.ts memory
 *     bun tests/load/contender-worker.ts classical CONNECTIONS
 */
import { buildApp } from '../../src/app.ts';
import { type Config, readConfig } from '../../src/config.ts';
import { connect } from '../../src/database/connection.ts';
import { Access } from '../../src/http/access.ts';
import { routeOf } from '../../src/http/routes.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { createLogger } from '../../src/log.ts';
import { Meter } from '../../src/metrics/meter.ts';
import { serve } from '../../src/server.ts';
import { ClassicalLedger } from './classical-ledger.ts';
import { MemoryLedger } from './memory-ledger.ts';

const config = readConfig();
const { address, requestTimeoutMs, isKeyRequired } = config;

const meter = new Meter();
const logger = createLogger('contender', config.logLevel);
const access = new Access(meter, logger);
access.admit('everybody');
const app = buildApp({
  ledger: withoutJournal(openLedger(config, process.argv.slice(2))),
  readiness: { answers: () => Promise.resolve(true), isDraining: () => false },
  access,
  logger,
  meter,
  options: { requestTimeoutMs, isKeyRequired },
});
serve(app.fetch, {
  address,
  requestTimeoutMs,
  reusePort: process.platform === 'linux',
  onAnswer: ({ url }, { status }, seconds) => meter.request(routeOf(url), status, seconds),
});
process.on('disconnect', () => process.exit(0));
process.on('SIGINT', () => {});
process.send?.('ready');

type Contender = Pick<Ledger, 'apply' | 'balance'>;

function openLedger({ server }: Config, [kind, size]: string[]): Contender {
  if (kind === 'memory') return new MemoryLedger();
  if (kind !== 'classical' || !server) throw new Error(`Bug: no ledger "${kind}"`);
  return new ClassicalLedger(connect(server, { max: Number(size), name: `classical-${size}` }));
}

function withoutJournal(contender: Contender): Ledger {
  const none = () => Promise.reject(new Error('a contender keeps no journal'));
  return {
    apply: (operation) => contender.apply(operation),
    balance: (walletId) => contender.balance(walletId),
    balanceAt: none,
    operations: none,
  };
}
