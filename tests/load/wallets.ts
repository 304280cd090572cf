/**
 * The wallets that are there before a measurement begins, and what all wallets hold.
 * Invariant: they are seeded through apply_operations, so the journal proves them too.
 */

import { connect } from '../../src/database/connection.ts';
import type { ServerAddress } from '../../src/server-address.ts';

/** Wallets 1 to this, each with SEEDED_AMOUNT. */
export const SEEDED_WALLETS = 100_000;

export const SEEDED_AMOUNT = 1_000_000n;

/** Wallets in one call while seeding: a few milliseconds. */
const CALL_WALLETS = 1000;

export interface Totals {
  /** Sum of all balances. */
  amount: bigint;
  /** Sum of all versions: operations ever applied. */
  operations: bigint;
}

/** Makes the seeded wallets in a migrated, empty database. */
export async function seed(address: ServerAddress): Promise<void> {
  const sql = connect(address, { max: 1, name: 'wallet-bench' });
  const slot = crypto.randomUUID();
  try {
    await sql`insert into flight_slots (slot) values (${slot})`;
    for (let first = 1; first <= SEEDED_WALLETS; first += CALL_WALLETS) {
      await sql`
        select from apply_operations(
          ${first}, ${slot}, ${first},
          (select array_agg(id) from
            generate_series(${first}::bigint, ${first + CALL_WALLETS - 1}::bigint) as id),
          array_fill(${SEEDED_AMOUNT}::bigint, array[${CALL_WALLETS}::integer]))`;
    }
    await sql`delete from flight_slots where slot = ${slot}`;
    // As a database that has been in use for a while; the first-minute rows have one that has not.
    await sql.unsafe('vacuum (freeze, analyze) wallets');
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** What all wallets of a database hold together. */
export async function totals(address: ServerAddress): Promise<Totals> {
  const sql = connect(address, { max: 1, name: 'wallet-bench' });
  try {
    const [row] = await sql<{ amount: string; operations: string }[]>`
      select coalesce(sum(amount), 0) as amount, coalesce(sum(version), 0) as operations
      from wallets`;
    if (!row) throw new Error('Bug: an aggregate returned no row');
    return { amount: BigInt(row.amount), operations: BigInt(row.operations) };
  } finally {
    await sql.end({ timeout: 1 });
  }
}
