/**
 * Plans that were made while every table was empty must still be right when the tables are large:
 * what a statement reads depends on what it is asked, not on how much there is.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { connect, type Sql } from '../../src/database/connection.ts';
import { migrate } from '../../src/database/migrations.ts';
import { pruneStep } from '../../src/ledger/key-pruner.ts';
import type { Operation } from '../../src/ledger/ledger.ts';
import { emptyDatabase, sqlFolder } from '../helpers/database.ts';
import { TestSlot } from './flights.ts';

const ROWS = 20_000;
const FLIGHT = 20;

/** Rows that may be read for each operation, in all tables and indexes together. */
const ROWS_PER_OPERATION = 12;

let own: Sql;
let flyer: Sql;
let slot: TestSlot;
beforeAll(async () => {
  const database = await emptyDatabase();
  own = connect(database, { max: 1, name: 'wallet-test-plans' });
  await migrate(own, sqlFolder);
  // So that PostgreSQL knows that they are empty, as after a night in which all keys were pruned.
  await own.unsafe('vacuum analyze');
  flyer = connect(database, { max: 1, name: 'wallet-test-flyer' });
  slot = await new TestSlot(flyer).register();
  for (const flight of Object.values(flights)) await slot.fly(flight(1n));
  await pruneStep(flyer, 24);
  await own`
    insert into wallets
    select id, 1000, 1, now() from generate_series(1000, ${1000 + ROWS}::bigint) as id`;
  await own`
    insert into operations
    select id, 1, 'DEPOSIT', 1000, 1000, now() from generate_series(1000, ${1000 + ROWS}::bigint)
      as id`;
  await own`
    insert into idempotency_keys
    select 1, 'old ' || i, 'DEPOSIT', 1, 1, 1, null, now() - interval '1 hour'
    from generate_series(1, ${ROWS}::integer) as i`;
});
afterAll(() => Promise.all([own.end({ timeout: 1 }), flyer.end({ timeout: 1 })]));

const operations = (make: (at: bigint) => Operation) =>
  Array.from({ length: FLIGHT }, (_, at) => make(BigInt(at)));

const flights = {
  'deposits on one wallet': () => operations(() => ({ walletId: 1n, type: 'DEPOSIT', amount: 5n })),
  'deposits with keys': (first: bigint) =>
    operations((at) => ({ walletId: 1n, type: 'DEPOSIT', amount: 5n, key: `k${first + at}` })),
  'deposits over many wallets': (first: bigint) =>
    operations((at) => ({ walletId: first + at, type: 'DEPOSIT', amount: 5n })),
  'withdrawals over many wallets': (first: bigint) =>
    operations((at) => ({ walletId: first + at, type: 'WITHDRAW', amount: 5n })),
  'deposits over many wallets with keys': (first: bigint) =>
    operations((at) => ({ walletId: first + at, type: 'DEPOSIT', amount: 5n, key: `m${first}` })),
};

/** What the flyer's statements have read so far. */
async function rowsRead(): Promise<number> {
  await flyer`select pg_stat_force_next_flush()`;
  await flyer`select 1`;
  const [row] = await own<{ rows: number }[]>`
    select (select sum(seq_tup_read) from pg_stat_user_tables)::int
      + (select sum(idx_tup_read) from pg_stat_user_indexes)::int as rows`;
  return row?.rows ?? Number.NaN;
}

describe('a flight reads as much as it needs, however much there is', () => {
  test.each(Object.entries(flights))('%s', async (_, flight) => {
    const before = await rowsRead();
    const answers = await slot.fly(flight(2000n));
    const read = (await rowsRead()) - before;
    expect(answers.map(({ kind }) => kind)).toEqual(answers.map(() => 'ok'));
    expect(read).toBeGreaterThan(0);
    expect(read).toBeLessThan(FLIGHT * ROWS_PER_OPERATION);
  });

  test('a step of the pruner', async () => {
    await own`
      insert into idempotency_keys
      select 1, 'very old ' || i, 'DEPOSIT', 1, 1, 1, null, now() - interval '2 days'
      from generate_series(1, ${FLIGHT}::integer) as i`;
    const before = await rowsRead();
    expect(await pruneStep(flyer, 24)).toBe(FLIGHT);
    expect((await rowsRead()) - before).toBeLessThan(FLIGHT * ROWS_PER_OPERATION);
  });
});
