/**
 * Connections to the database that are lost before or after COMMIT, or stand still: through a
 * proxy, for one flight at a time and for a real service under load.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sql } from '../../src/database/connection.ts';
import { GroupCommitLedger } from '../../src/ledger/group-commit-ledger.ts';
import { Meter } from '../../src/metrics/meter.ts';
import type { ServerAddress } from '../../src/server-address.ts';
import { type Answer, startApp, successText, type TestApp } from '../helpers/app.ts';
import { emptyDatabase, freshWalletId, storedBalance, testDatabase } from '../helpers/database.ts';
import { auditFaults, readJournals } from '../helpers/journal.ts';
import { recordingLogger } from '../helpers/logger.ts';
import { endServices, startService, until } from '../helpers/service.ts';
import { type DatabaseProxy, type Moment, startProxy } from './proxy.ts';
import { expectTrue, SCENARIO_TIMEOUT_MS, underLoad } from './scenario.ts';

setDefaultTimeout(SCENARIO_TIMEOUT_MS);

const ATTEMPT_TIMEOUT_MS = 300;
const REQUEST_TIMEOUT_MS = 1500;

const proxies: DatabaseProxy[] = [];

async function openProxy(target: ServerAddress): Promise<DatabaseProxy> {
  const opened = await startProxy(target);
  proxies.push(opened);
  return opened;
}

let sql: Sql;
let proxy: DatabaseProxy;
let app: TestApp;
let hasty: TestApp;
let waiting: TestApp;
const { logger, lines } = recordingLogger();
beforeAll(async () => {
  const shared = await testDatabase();
  sql = shared.sql;
  proxy = await openProxy(shared.address);
  const database = proxy.address;
  app = await startApp({ database, logger });
  const limits = { attemptTimeoutMs: ATTEMPT_TIMEOUT_MS, requestTimeoutMs: REQUEST_TIMEOUT_MS };
  // One slot, so that what follows a flight waits for it.
  hasty = await startApp({ database, logger, flightSlots: 1, ...limits });
  // Its deadlines come while it still waits for a connection.
  const patience = { attemptTimeoutMs: 3000, requestTimeoutMs: 700 };
  waiting = await startApp({ database, logger, flightSlots: 1, ...patience });
});
afterAll(async () => {
  await Promise.all([app, hasty, waiting].map((one) => one.stop()));
  await endServices();
  await Promise.all(proxies.map((one) => one.stop()));
});

const failures = () =>
  lines.filter(({ msg }) => msg === 'sending again').map(({ failure }) => failure);

const depositOnes = (to: TestApp, id: bigint, count: number) =>
  Promise.all(Array.from({ length: count }, () => to.deposit(id, 1n)));

/** Each balance from 2 on was answered once, and the journal agrees. */
async function expectEachOnce(id: bigint, answers: Answer[]): Promise<void> {
  const expected = answers.map((_, at) => successText(id, BigInt(at + 2)));
  expect(answers.map(({ text }) => text).toSorted()).toEqual(expected.toSorted());
  expect((await readJournals(sql, [id])).get(id)).toHaveLength(answers.length + 1);
  expect(await auditFaults(sql, [id])).toEqual([]);
}

describe('a flight whose connection is lost', () => {
  test.each([
    ['before it arrives', ['before']],
    ['after its COMMIT', ['after']],
    ['time and again', ['after', 'before', 'after', 'after']],
  ] as [string, Moment[]][])('%s is applied and answered once', async (_, moments) => {
    const id = freshWalletId();
    await app.deposit(id, 1n);
    const cut = (async () => {
      for (const moment of moments) await proxy.cutAll(moment);
    })();
    const answers = await depositOnes(app, id, 30);
    await cut;
    await expectEachOnce(id, answers);
    expect(failures()).toContain('lost');
  });

  test('by its time limit, while it still waits in the server, is applied once', async () => {
    const id = freshWalletId();
    await hasty.deposit(id, 1n);
    const before = failures().length;
    let answers: Promise<Answer[]> = Promise.resolve([]);
    await sql.begin(async (holder) => {
      await holder`select from wallets where id = ${id} for update`;
      answers = depositOnes(hasty, id, 10);
      await until(() => failures().length > before, 'the first attempt to be lost');
      // The second copy is in the server too: it waits for the first.
      await sleep(ATTEMPT_TIMEOUT_MS / 2);
    });
    await expectEachOnce(id, await answers);
  });
});

describe('beyond the deadline', () => {
  const messages = (answers: Answer[]) =>
    answers.map(({ status, text }) => `${status} ${JSON.parse(text).message.split(':')[0]}`);

  const recoveredFor = (one: TestApp) => {
    const id = freshWalletId();
    return until(async () => (await one.deposit(id, 1n)).status === 200, 'the database');
  };

  test('what was sent is unknown, what waited is not applied, and never will be', async () => {
    const [sent, waited] = [freshWalletId(), freshWalletId()];
    await depositOnes(hasty, sent, 1);
    const frozen = proxy.freezeBehindFlight();
    const began = Date.now();
    const unknown = depositOnes(hasty, sent, 1);
    await frozen;
    const refused = depositOnes(hasty, waited, 20);
    const both = await Promise.all([unknown, refused]).finally(() => proxy.thaw());
    expect(messages(both.flat())).toEqual([
      '503 outcome unknown',
      ...Array.from({ length: 20 }, () => '503 not applied'),
    ]);
    expect(both.flat().map(({ headers }) => headers.get('retry-after'))).toEqual(
      both.flat().map(() => '1'),
    );
    expect(Date.now() - began).toBeLessThan(REQUEST_TIMEOUT_MS + 5000);
    await recoveredFor(hasty);
    expect(await storedBalance(waited)).toBeUndefined();
    // The unknown one was in fact applied.
    expect(await storedBalance(sent)).toBe(2n);
    expect(await auditFaults(sql, [sent])).toEqual([]);
  });

  test.each([
    ['every connection is refused', async () => proxy.fell()],
    [
      'none is answered',
      async () => {
        proxy.fell();
        await sleep(50);
        proxy.freeze();
        proxy.raise();
      },
    ],
  ])('what came while %s is not applied, and never will be', async (_, goAway) => {
    const id = freshWalletId();
    await depositOnes(waiting, id, 1);
    await goAway();
    // The application notices.
    await sleep(50);
    const answers = await depositOnes(waiting, id, 20).finally(() => {
      proxy.raise();
      proxy.thaw();
    });
    expect(messages(answers)).toEqual(answers.map(() => '503 not applied'));
    await recoveredFor(waiting);
    expect(await storedBalance(id)).toBe(1n);
    expect(await auditFaults(sql, [id])).toEqual([]);
  });
});

test('a burst of many batches is answered in time, not one batch after the other', async () => {
  const walletId = freshWalletId();
  const ledger = new GroupCommitLedger(
    proxy.address,
    { flightSlots: 1, batchMax: 2, queueMax: 1000, requestTimeoutMs: 500, attemptTimeoutMs: 400 },
    { logger, meter: new Meter() },
  );
  const deposit = () => ledger.apply({ walletId, type: 'DEPOSIT', amount: 1n });
  expect(await deposit()).toEqual({ kind: 'ok', balance: 1n, version: 1n });
  // The burst meets an idle slot.
  await sleep(10);
  proxy.freeze();
  const began = Date.now();
  const outcomes = await Promise.all(Array.from({ length: 60 }, deposit)).finally(() =>
    proxy.thaw(),
  );
  const kinds = outcomes.map(({ kind }) => kind);
  expect(kinds.filter((kind) => kind === 'not_applied')).toHaveLength(58);
  // Thirty batches, each until its attempt times out, would take 12 s.
  expect(Date.now() - began).toBeLessThan(6000);
  await ledger.close();
});

test('readers of the past are answered in time, not one after the other', async () => {
  const walletId = freshWalletId();
  const limits = { batchMax: 500, queueMax: 1000, requestTimeoutMs: 500, attemptTimeoutMs: 400 };
  const watch = { logger, meter: new Meter() };
  const ledger = new GroupCommitLedger(proxy.address, { flightSlots: 1, ...limits }, watch);
  await ledger.apply({ walletId, type: 'DEPOSIT', amount: 1n });
  const read = () => ledger.operations(walletId, { limit: 1, before: 2n });
  expect(await read()).toMatchObject({ kind: 'ok' });
  proxy.freeze();
  const began = Date.now();
  const outcomes = await Promise.all(Array.from({ length: 60 }, read)).finally(() => proxy.thaw());
  expect(outcomes.map(({ kind }) => kind)).toEqual(outcomes.map(() => 'not_applied'));
  // Sixty readers, each until its attempt times out, would take 24 s.
  expect(Date.now() - began).toBeLessThan(6000);
  await ledger.close();
});

describe('a service under load', () => {
  test('whose connections are all cut, before and after COMMIT, shows no error', async () => {
    const target = await emptyDatabase();
    const between = await openProxy(target);
    const service = await (await startService({ database: between.address })).listening();
    const callers = await underLoad(service, async (round) => {
      for (const moment of ['before', 'after', 'after', 'before'] as const) {
        await between.cutAll(moment);
        await sleep(20 + (round % 5) * 20);
      }
    });
    await expectTrue(callers, target, ['not_applied', 'outcome_unknown', 'failed', 'cut']);
    expect(service.logged('sending again').length).toBeGreaterThan(0);
  });
});
