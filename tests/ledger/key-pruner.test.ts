/** Forgetting idempotency keys: the old ones, a bounded number in a step, and nothing else. */
import { expect, test } from 'bun:test';
import { pruneStep } from '../../src/ledger/key-pruner.ts';
import { freshWalletId, testDatabase } from '../helpers/database.ts';

const TTL_HOURS = 24;

/** Keys of a wallet, each so many hours old. */
async function record(id: bigint, hours: number[]): Promise<void> {
  const { sql } = await testDatabase();
  await sql`
    insert into idempotency_keys (wallet_id, key, type, amount, created_at)
    select ${id}, place::text, 'DEPOSIT', 1, now() - hours * interval '1 hour'
    from unnest(${`{${hours.join()}}`}::float8[]) with ordinality as given (hours, place)`;
}

test('a step forgets keys that are older than promised, and no other', async () => {
  const [{ sql }, id] = [await testDatabase(), freshWalletId()];
  await record(id, [25, 24.01, 23.99, 0]);
  expect(await pruneStep(sql, TTL_HOURS)).toBe(2);
  const left = await sql<{ key: string }[]>`
    select key from idempotency_keys where wallet_id = ${id} order by key`;
  expect(left.map(({ key }) => key)).toEqual(['3', '4']);
  expect(await pruneStep(sql, TTL_HOURS)).toBe(0);
});

test('a step forgets a thousand, the oldest first, and passes over what is locked', async () => {
  const [{ sql }, id] = [await testDatabase(), freshWalletId()];
  await record(id, [...Array<number>(1000).fill(50), 30, 60]);
  const oldest = sql`select from idempotency_keys where wallet_id = ${id} and key = '1002'`;
  await sql.begin(async (held) => {
    await held`${oldest} for update`;
    expect(await pruneStep(sql, TTL_HOURS)).toBe(1000);
  });
  const left = await sql<{ key: string }[]>`
    select key from idempotency_keys where wallet_id = ${id} order by key`;
  expect(left.map(({ key }) => key)).toEqual(['1001', '1002']);
  expect(await pruneStep(sql, TTL_HOURS)).toBe(2);
});
