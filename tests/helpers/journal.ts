/**
 * Reads the journal as it is stored, and audits it with queries of its own: what `bun run audit`
 * promises, written a second time, so that a fault in the one is seen by the other.
 */
import type { Sql } from '../../src/database/connection.ts';
import type { Operation } from '../../src/ledger/ledger.ts';

export interface JournalRow extends Operation {
  version: bigint;
  balance: bigint;
}

/** What a wallet's key is known to be answered. */
export interface KeyRow extends Operation {
  key: string;
  balance: bigint | null;
  version: bigint | null;
  refusal: string | null;
}

/** A PostgreSQL array's text; ids and amounts are digits. */
export const array = (values: bigint[]) => `{${values.join()}}`;

/** The journals of some wallets, each in the order of its versions. */
export async function readJournals(sql: Sql, ids: bigint[]): Promise<Map<bigint, JournalRow[]>> {
  const rows = await sql<(JournalRow & { key: string | null })[]>`
    select wallet_id as "walletId", version, type::text, amount, balance, idempotency_key as key
    from operations where wallet_id = any (${array(ids)}::bigint[])
    order by wallet_id, version`;
  const journals = new Map<bigint, JournalRow[]>(ids.map((id) => [id, []]));
  for (const { key, ...row } of rows) {
    journals.get(row.walletId)?.push({ ...row, ...(key === null ? {} : { key }) });
  }
  return journals;
}

/** The keys of some wallets that are recorded, in the order of wallet and key. */
export async function readKeys(sql: Sql, ids: bigint[]): Promise<KeyRow[]> {
  return [
    ...(await sql<KeyRow[]>`
      select wallet_id as "walletId", key, type::text, amount, balance, version, refusal
      from idempotency_keys where wallet_id = any (${array(ids)}::bigint[])
      order by wallet_id, key`),
  ];
}

/** Every fault in the books of some wallets; none is an empty list. */
export async function auditFaults(sql: Sql, ids: bigint[]): Promise<string[]> {
  const faults = await sql<{ fault: string }[]>`
    with journal as (
      select o.*, case type when 'DEPOSIT' then amount else -amount end as change,
        lag(version, 1, 0::bigint) over w as version_before,
        lag(balance, 1, 0::bigint) over w as balance_before,
        lag(created_at) over w as created_before
      from operations as o where wallet_id = any (${array(ids)}::bigint[])
      window w as (partition by wallet_id order by version)
    ), total as (
      select wallet_id, count(*) as operations, sum(change) as sum,
        max(created_at) as last, (array_agg(balance order by version desc))[1] as balance
      from journal group by wallet_id
    ), wallet as (
      select * from wallets where id = any (${array(ids)}::bigint[])
    )
    select format('wallet %s, version %s: %s', wallet_id, version, fault) as fault
    from journal, lateral (values
      ('a gap before it', version <> version_before + 1),
      ('not the balance before ± amount', balance <> balance_before + change),
      ('amount is not positive', amount <= 0),
      ('balance is negative', balance < 0),
      ('earlier than the one before', created_at < created_before)
    ) as test (fault, fails) where fails
    union all
    select format('wallet %s: %s', coalesce(id, wallet_id), fault)
    from wallet full join total on wallet_id = id, lateral (values
      ('has no journal', wallet_id is null),
      ('has no row', id is null),
      ('balance is not the sum of its journal', amount <> sum),
      ('balance is not the last of its journal', amount <> balance),
      ('version is not the length of its journal', version <> operations),
      ('changed at another time than its last operation', changed_at <> last),
      ('version is 0', version = 0)
    ) as test (fault, fails) where fails
    union all
    select format('wallet %s, key %s: %s', k.wallet_id, key, fault) as fault
    from idempotency_keys as k
    left join operations as o on o.wallet_id = k.wallet_id and o.version = k.version,
    lateral (values
      ('is both applied and refused, or neither', num_nonnulls(k.version, refusal) <> 1),
      ('tells of another operation', k.version is not null and
        (o.type, o.amount, o.balance, o.idempotency_key) is distinct from
        (k.type, k.amount, k.balance, k.key)),
      ('was applied after its answer', exists (
        select from operations as later
        where later.wallet_id = k.wallet_id and later.idempotency_key = k.key
          and later.created_at >= k.created_at and later.version is distinct from k.version
      ))
    ) as test (fault, fails) where k.wallet_id = any (${array(ids)}::bigint[]) and fails`;
  return faults.map(({ fault }) => fault);
}
