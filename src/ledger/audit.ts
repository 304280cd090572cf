/**
 * Proves from the journal that every balance and every key's answer came about as it says.
 * Invariant: nothing is locked and no snapshot outlives a page, so the service may run meanwhile.
 * That is sound because operations are never changed: a wallet's chain of operations can be
 * followed page by page, and only its end is compared with the wallet, both in one statement. So
 * are a key and its operation, which are committed together; the key may be forgotten afterwards.
 */
import type { Sql } from '../database/connection.ts';

/** What is wrong with an operation, with a wallet at its version, or with a key of a wallet. */
interface AuditFault {
  wallet: string;
  version?: string;
  key?: string;
  fault: string;
}

export interface AuditProgress {
  operations: number;
  wallets: number;
  keys: number;
  faults: AuditFault[];
}

/** Where a page ends: a version, or a key. */
type Place = bigint | string;

interface Page {
  rows: number;
  lastWallet: bigint | null;
  lastPlace: Place | null;
  faults: AuditFault[];
}

/** Rows judged in one statement: a fraction of a second's work. */
const PAGE_ROWS = 50_000;

const BEFORE_ALL = -(2n ** 63n);

/**
 * Walks the journal, then the wallets, then the idempotency keys, each in the order of its key.
 * @param report is called after each page with the sums so far.
 * @returns the sums; the books balance if `faults` is empty.
 */
export async function audit(
  sql: Sql,
  report: (progress: AuditProgress) => void,
): Promise<AuditProgress> {
  const progress: AuditProgress = { operations: 0, wallets: 0, keys: 0, faults: [] };
  for (const [kind, judge, start] of [
    ['operations', judgeOperations, 0n],
    ['wallets', judgeWallets, 0n],
    ['keys', judgeKeys, ''],
  ] as const) {
    for (let [wallet, place]: [bigint | null, Place] = [BEFORE_ALL, start]; wallet !== null; ) {
      const page: Page = await judge(sql, wallet, place);
      progress[kind] += page.rows;
      progress.faults.push(...page.faults);
      report(progress);
      [wallet, place] = [page.lastWallet, page.lastPlace ?? start];
      if (page.rows === 0) break;
    }
  }
  return progress;
}

/** The operations after a key, which is that of the page before: each is held against its last. */
async function judgeOperations(sql: Sql, wallet: bigint, version: Place): Promise<Page> {
  const [page] = await sql<Page[]>`
    with page as materialized (
      select * from operations where (wallet_id, version) >= (${wallet}, ${version})
      order by wallet_id, version limit ${PAGE_ROWS}
    ),
    judged as (
      select wallet_id, version, case
          when amount <= 0 then 'amount: not positive'
          when balance < 0 then 'balance: negative'
          when version <> coalesce(lag(version) over chain, 0) + 1 then 'version: a gap before it'
          when balance <> coalesce(lag(balance) over chain, 0)::numeric
            + case type when 'DEPOSIT' then amount else -amount end
            then 'balance: not the one before, plus or minus the amount'
          when created_at < lag(created_at) over chain then 'created_at: before the one before'
          when version = 1 and not exists (select from wallets where id = wallet_id)
            then 'wallet: does not exist'
          when idempotency_key is not null and exists (
            select from idempotency_keys as k
            where k.wallet_id = page.wallet_id and k.key = idempotency_key and (
              k.version < page.version
              or k.version is null and k.created_at <= page.created_at
            )) then 'idempotency_key: applied although it had its answer'
        end as fault
      from page window chain as (partition by wallet_id order by version)
    )
    select count(*)::int as rows,
      (select wallet_id from page order by wallet_id desc, version desc limit 1) as "lastWallet",
      (select version from page order by wallet_id desc, version desc limit 1) as "lastPlace",
      coalesce(json_agg(json_build_object(
        'wallet', wallet_id::text, 'version', version::text, 'fault', fault
      )) filter (where fault is not null), '[]') as faults
    from judged where (wallet_id, version) <> (${wallet}, ${version})`;
  return page as Page;
}

/** The wallets after an id: each is held against its last operation. */
async function judgeWallets(sql: Sql, wallet: bigint): Promise<Page> {
  const [page] = await sql<Page[]>`
    with page as materialized (
      select * from wallets where id > ${wallet} order by id limit ${PAGE_ROWS}
    ),
    judged as (
      select page.id, page.version, case
          when last.version is null then 'wallet: no operation made it'
          when page.version <> last.version then 'version: not that of the last operation'
          when page.amount <> last.balance then 'amount: not the balance after the last operation'
          when page.changed_at <> last.created_at then 'changed_at: not that of the last operation'
        end as fault
      from page left join lateral (
        select * from operations where wallet_id = page.id order by version desc limit 1
      ) as last on true
    )
    select count(*)::int as rows, max(id) as "lastWallet", 0::bigint as "lastPlace",
      coalesce(json_agg(json_build_object(
        'wallet', id::text, 'version', version::text, 'fault', fault
      )) filter (where fault is not null), '[]') as faults
    from judged`;
  return page as Page;
}

/** The keys of wallets after a key: each answer is held against the operation that it tells of. */
async function judgeKeys(sql: Sql, wallet: bigint, key: Place): Promise<Page> {
  const [page] = await sql<Page[]>`
    with page as materialized (
      select * from idempotency_keys where (wallet_id, key) > (${wallet}, ${key})
      order by wallet_id, key limit ${PAGE_ROWS}
    ),
    judged as (
      select page.wallet_id, page.key, case
          when (page.version is null) <> (page.refusal is not null)
            then 'refusal: without one there is a version, and with one there is none'
          when page.version is null then null
          when o.version is null then 'version: there is no such operation'
          when o.idempotency_key is distinct from page.key then 'key: not that of the operation'
          when o.type <> page.type then 'type: not that of the operation'
          when o.amount <> page.amount then 'amount: not that of the operation'
          when o.balance is distinct from page.balance then 'balance: not that of the operation'
        end as fault
      from page left join operations as o
        on o.wallet_id = page.wallet_id and o.version = page.version
    )
    select count(*)::int as rows,
      (select wallet_id from page order by wallet_id desc, key desc limit 1) as "lastWallet",
      (select key from page order by wallet_id desc, key desc limit 1) as "lastPlace",
      coalesce(json_agg(json_build_object(
        'wallet', wallet_id::text, 'key', key, 'fault', fault
      )) filter (where fault is not null), '[]') as faults
    from judged`;
  return page as Page;
}
