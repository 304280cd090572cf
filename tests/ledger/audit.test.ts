/**
 * `bun run audit` and the tests' own audit, on books in which something was tampered with: both
 * must see it, and the first must name it.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { connect, type Sql } from '../../src/database/connection.ts';
import { migrate } from '../../src/database/migrations.ts';
import { audit } from '../../src/ledger/audit.ts';
import type { Operation } from '../../src/ledger/ledger.ts';
import { emptyDatabase, freshWalletId, sqlFolder } from '../helpers/database.ts';
import { auditFaults } from '../helpers/journal.ts';
import { TestSlot } from './flights.ts';

let sql: Sql;
let slot: TestSlot;
beforeAll(async () => {
  const database = await emptyDatabase();
  sql = connect(database, { max: 2, name: 'wallet-test-audit' });
  await migrate(sql, sqlFolder);
  slot = await new TestSlot(sql).register();
});
afterAll(() => sql.end({ timeout: 1 }));

/** Versions 1 to 3, of which 2 has a key, and a key that was refused before them. */
async function makeBooks(): Promise<bigint> {
  const walletId = freshWalletId();
  const flights: Operation[][] = [
    [{ walletId, type: 'WITHDRAW', amount: 9n, key: 'refused' }],
    [{ walletId, type: 'DEPOSIT', amount: 10n }],
    [
      { walletId, type: 'WITHDRAW', amount: 4n, key: 'applied' },
      { walletId, type: 'DEPOSIT', amount: 1n },
    ],
  ];
  for (const flight of flights) await slot.fly(flight);
  return walletId;
}

const faultsOf = async (id: bigint) =>
  (await audit(sql, () => {})).faults
    .filter(({ wallet }) => wallet === String(id))
    .map(({ version, key, fault }) => `${version ?? key} ${fault}`);

test('books that nobody tampered with have no fault, and all of them are counted', async () => {
  const before = await audit(sql, () => {});
  const id = await makeBooks();
  const { operations, wallets, keys } = await audit(sql, () => {});
  expect(await faultsOf(id)).toEqual([]);
  expect([operations, wallets, keys]).toEqual([
    before.operations + 3,
    before.wallets + 1,
    before.keys + 2,
  ]);
  expect(await auditFaults(sql, [id])).toEqual([]);
});

test('a key that was forgotten and used again has no fault', async () => {
  const walletId = await makeBooks();
  for (const key of ['applied', 'refused']) {
    await sql`delete from idempotency_keys where wallet_id = ${walletId} and key = ${key}`;
    await slot.fly([{ walletId, type: 'DEPOSIT', amount: 7n, key }]);
  }
  expect(await faultsOf(walletId)).toEqual([]);
  expect(await auditFaults(sql, [walletId])).toEqual([]);
});

test('keys are walked page by page, to the last', async () => {
  const [id, rows] = [freshWalletId(), 50_001];
  const before = await audit(sql, () => {});
  // The order of the alphabet is not that of the index, which is that of the bytes.
  await sql`
    insert into idempotency_keys (wallet_id, key, type, amount, refusal, created_at)
    select ${id}, substr('aBcD-z', n % 6 + 1, 1) || n, 'DEPOSIT', 1, 'precondition_failed', now()
    from generate_series(1, ${rows}::int) as n`;
  await sql`
    update idempotency_keys set refusal = null where wallet_id = ${id} and key in (
      select max(key) from idempotency_keys where wallet_id = ${id}
      union all select min(key) from idempotency_keys where wallet_id = ${id}
    )`;
  const pages: number[] = [];
  const after = await audit(sql, ({ keys }) => pages.push(keys));
  expect(after.keys - before.keys).toBe(rows);
  expect(new Set(pages).size).toBeGreaterThan(2);
  expect(await faultsOf(id)).toHaveLength(2);
  await sql`delete from idempotency_keys where wallet_id = ${id}`;
});

describe('a fault is named', () => {
  const journal = 'update operations set';
  const wallet = 'update wallets set';
  const key = 'update idempotency_keys set';
  test.each([
    [`${journal} amount = 0 where version = 2`, '2 amount: not positive'],
    [`${journal} balance = -1 where version = 2`, '2 balance: negative'],
    ['delete from operations where version = 2', '3 version: a gap before it'],
    [`${journal} balance = 5 where version = 2`, '2 balance: not the one before, plus or minus'],
    [`${journal} type = 'DEPOSIT' where version = 2`, '2 balance: not the one before'],
    [`${journal} created_at = '2000-01-01' where version = 2`, '2 created_at: before the one'],
    ['delete from wallets where true', '1 wallet: does not exist'],
    [`${wallet} version = 4 where true`, '4 version: not that of the last operation'],
    [`${wallet} amount = 8 where true`, '3 amount: not the balance after the last operation'],
    [`${wallet} changed_at = '2000-01-01' where true`, '3 changed_at: not that of the last'],
    ['delete from operations where true', '3 wallet: no operation made it'],
    [`${key} version = null where key = 'applied'`, 'applied refusal: without one'],
    [`${key} refusal = 'no' where key = 'applied'`, 'applied refusal: without one'],
    [`${key} refusal = null where key = 'refused'`, 'refused refusal: without one'],
    [`${key} version = 1 where key = 'refused'`, 'refused refusal: without one'],
    [`${key} version = 9 where key = 'applied'`, 'applied version: there is no such operation'],
    [`${key} version = 3 where key = 'applied'`, 'applied key: not that of the operation'],
    [`${journal} idempotency_key = null where version = 2`, 'applied key: not that of the'],
    [`${key} key = 'other' where key = 'applied'`, 'other key: not that of the operation'],
    [`${key} type = 'DEPOSIT' where key = 'applied'`, 'applied type: not that of the operation'],
    [`${key} amount = 5 where key = 'applied'`, 'applied amount: not that of the operation'],
    [`${key} balance = 7 where key = 'applied'`, 'applied balance: not that of the operation'],
    [`${key} balance = null where key = 'applied'`, 'applied balance: not that of the operation'],
    [`${journal} idempotency_key = 'refused' where version = 1`, '1 idempotency_key: applied'],
    [`${journal} idempotency_key = 'applied' where version = 3`, '3 idempotency_key: applied'],
  ])('%s', async (tamper, fault) => {
    const id = await makeBooks();
    const column = tamper.includes(' wallets ') ? 'id' : 'wallet_id';
    const { count } = await sql.unsafe(`${tamper} and ${column} = ${id}`);
    expect(count).toBeGreaterThan(0);
    expect(await faultsOf(id)).toContainEqual(expect.stringContaining(fault));
    expect(await auditFaults(sql, [id])).not.toEqual([]);
  });
});
