/**
 * The pruner of idempotency keys: what it removes, in which steps, and that neither it nor a flight
 * ever waits for the other.
 */
import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test';
import { connect, type Sql } from '../../src/database/connection.ts';
import { Line } from '../../src/database/line.ts';
import { migrate } from '../../src/database/migrations.ts';
import { pruneKeys, pruneStep } from '../../src/ledger/key-pruner.ts';
import type { Operation } from '../../src/ledger/ledger.ts';
import type { ServerAddress } from '../../src/server-address.ts';
import { emptyDatabase, freshWalletId, sqlFolder } from '../helpers/database.ts';
import { auditFaults, readJournals, readKeys } from '../helpers/journal.ts';
import { recordingLogger } from '../helpers/logger.ts';
import { until } from '../helpers/service.ts';
import { TestSlot } from './flights.ts';

const TTL_HOURS = 24;
const STEP_ROWS = 1000;

let database: ServerAddress;
let sql: Sql;
let slot: TestSlot;
beforeAll(async () => {
  database = await emptyDatabase();
  sql = connect(database, { max: 3, name: 'wallet-test-prune' });
  await migrate(sql, sqlFolder);
  slot = await new TestSlot(sql).register();
});
afterEach(async () => {
  await sql`delete from idempotency_keys`;
});
afterAll(() => sql.end({ timeout: 1 }));

const deposit = (walletId: bigint, key: string): Operation => {
  return { walletId, type: 'DEPOSIT', amount: 5n, key };
};

/** Makes keys of a wallet older. */
const age = (id: bigint, key: string, age: string) => sql`
  update idempotency_keys set created_at = now() - ${age}::interval
  where wallet_id = ${id} and key like ${key}`;

const keysOf = async (id: bigint) => (await readKeys(sql, [id])).map(({ key }) => key);

/** Old keys, each a second older than the one before. */
const manyOld = (count: number) => sql`
  insert into idempotency_keys (wallet_id, key, type, amount, refusal, created_at)
  select 1, to_char(n, 'FM0000'), 'WITHDRAW', 1, 'wallet_not_found',
    now() - interval '2 days' - n * interval '1 s'
  from generate_series(1, ${count}::int) as n`;

test('a key goes when it is older than it is kept, and not before', async () => {
  const id = freshWalletId();
  const ages = { older: '24:00:01', ancient: '9 days', younger: '23:59:30', future: '-1 hour' };
  await slot.fly([...Object.keys(ages), 'new'].map((key) => deposit(id, key)));
  for (const [key, text] of Object.entries(ages)) await age(id, key, text);
  expect(await pruneStep(sql, TTL_HOURS + 1)).toBe(1);
  expect(await pruneStep(sql, TTL_HOURS)).toBe(1);
  expect(await keysOf(id)).toEqual(['future', 'new', 'younger']);
  expect(await pruneStep(sql, TTL_HOURS)).toBe(0);
});

test('no key goes before it is a day old, whatever is asked for', async () => {
  const id = freshWalletId();
  await slot.fly([deposit(id, 'younger')]);
  await age(id, 'younger', '23:59:30');
  expect(await pruneStep(sql, 0)).toBe(0);
  expect(await keysOf(id)).toEqual(['younger']);
});

test('a step is bounded, and takes the oldest', async () => {
  await manyOld(2 * STEP_ROWS + 500);
  expect(await pruneStep(sql, TTL_HOURS)).toBe(STEP_ROWS);
  expect((await keysOf(1n)).at(-1)).toBe('1500');
  expect(await pruneStep(sql, TTL_HOURS)).toBe(STEP_ROWS);
  expect(await pruneStep(sql, TTL_HOURS)).toBe(500);
  expect(await pruneStep(sql, TTL_HOURS)).toBe(0);
});

test('a pruned key can be used anew, and the journal keeps its text', async () => {
  const id = freshWalletId();
  await slot.fly([deposit(id, 'again'), { ...deposit(id, 'refused'), ifMatch: [7n] }]);
  await age(id, '%', '25 hours');
  expect(await pruneStep(sql, TTL_HOURS)).toBe(2);
  const answers = await slot.fly([deposit(id, 'again'), { ...deposit(id, 'refused') }]);
  expect(answers).toEqual(
    [2n, 3n].map((version) => ({ kind: 'ok', balance: 5n * version, version })),
  );
  const journal = (await readJournals(sql, [id])).get(id) ?? [];
  expect(journal.map(({ key }) => key)).toEqual(['again', 'again', 'refused']);
  expect(await keysOf(id)).toEqual(['again', 'refused']);
  expect(await auditFaults(sql, [id])).toEqual([]);
});

test('a step does not wait for a row that somebody has locked', async () => {
  const id = freshWalletId();
  await slot.fly(['locked', 'old'].map((key) => deposit(id, key)));
  await age(id, '%', '25 hours');
  await sql.begin(async (holder) => {
    await holder`
      select from idempotency_keys where wallet_id = ${id} and key = 'locked' for update`;
    expect(await pruneStep(sql, TTL_HOURS)).toBe(1);
  });
  expect(await keysOf(id)).toEqual(['locked']);
  expect(await pruneStep(sql, TTL_HOURS)).toBe(1);
});

test('a step does not wait for a flight that uses keys of the same wallet', async () => {
  const id = freshWalletId();
  await slot.fly([deposit(id, 'old')]);
  await age(id, 'old', '25 hours');
  await sql.begin(async (holder) => {
    const inTheAir = await new TestSlot(holder as unknown as Sql).register();
    const answers = await inTheAir.fly([deposit(id, 'old'), deposit(id, 'new')]);
    expect(answers.map(({ isReplay = false }) => isReplay)).toEqual([true, false]);
    expect(await pruneStep(sql, TTL_HOURS)).toBe(1);
  });
  expect(await keysOf(id)).toEqual(['new']);
  expect(await auditFaults(sql, [id])).toEqual([]);
});

test('a flight does not wait for a step that prunes keys of the same wallet', async () => {
  const id = freshWalletId();
  await slot.fly([deposit(id, 'old')]);
  await age(id, 'old', '25 hours');
  await sql.begin(async (holder) => {
    expect(await pruneStep(holder as unknown as Sql, TTL_HOURS)).toBe(1);
    // Until the step is committed, the key is known.
    const answers = await slot.fly([deposit(id, 'new'), deposit(id, 'old')]);
    expect(answers.map(({ isReplay = false }) => isReplay)).toEqual([false, true]);
  });
  expect(await keysOf(id)).toEqual(['new']);
  expect(await slot.fly([deposit(id, 'old')])).toEqual([{ kind: 'ok', balance: 15n, version: 3n }]);
  expect(await auditFaults(sql, [id])).toEqual([]);
});

test('the pruner goes on step by step until it is told to stop', async () => {
  const { logger, lines } = recordingLogger();
  await manyOld(STEP_ROWS + 1);
  const line = new Line(database, { name: 'wallet-test-pruner', attemptTimeoutMs: 3000 });
  const stop = new AbortController();
  const pruning = pruneKeys(line, TTL_HOURS, logger, stop.signal);
  await until(async () => (await keysOf(1n)).length === 0, 'the keys to go');
  // It now waits for long, but not when it is told to stop.
  stop.abort();
  await pruning;
  await line.close();
  expect(lines).toEqual([]);
});

test('a failure is logged, and is no end', async () => {
  const { logger, lines } = recordingLogger();
  await sql`alter table idempotency_keys rename to elsewhere`;
  const line = new Line(database, { name: 'wallet-test-pruner', attemptTimeoutMs: 3000 });
  const stop = new AbortController();
  const pruning = pruneKeys(line, TTL_HOURS, logger, stop.signal);
  await until(() => lines.length > 0, 'the failure to be logged');
  await sql`alter table elsewhere rename to idempotency_keys`;
  expect(lines.map(({ msg }) => msg)).toEqual(['cannot prune idempotency keys']);
  stop.abort();
  await pruning;
  await line.close();
});
