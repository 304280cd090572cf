/**
 * Proves from the journal that every balance came about as it says.
 * Invariant: nothing is locked and no snapshot outlives a page, so the service may run meanwhile.
 * That is sound because operations are never changed: a wallet's chain of operations can be
 * followed page by page, and only its end is compared with the wallet, both in one statement.
 */
import type { Sql } from '../database/connection.ts';

/** What is wrong with an operation, or with the wallet itself at its version. */
interface AuditFault {
  wallet: string;
  version: string;
  fault: string;
}

export interface AuditProgress {
  operations: number;
  wallets: number;
  faults: AuditFault[];
}

interface Page {
  rows: number;
  lastWallet: bigint | null;
  lastVersion: bigint | null;
  faults: AuditFault[];
}

/** Rows judged in one statement: a fraction of a second's work. */
const PAGE_ROWS = 50_000;

const BEFORE_ALL = -(2n ** 63n);

/**
 * Walks the journal, then the wallets, in key order.
 * @param report is called after each page with the sums so far.
 * @returns the sums; the books balance if `faults` is empty.
 */
export async function audit(
  sql: Sql,
  report: (progress: AuditProgress) => void,
): Promise<AuditProgress> {
  const progress: AuditProgress = { operations: 0, wallets: 0, faults: [] };
  for (const [kind, judge] of [
    ['operations', judgeOperations],
    ['wallets', judgeWallets],
  ] as const) {
    for (let [wallet, version]: [bigint | null, bigint | null] = [BEFORE_ALL, 0n]; ; ) {
      const page: Page = await judge(sql, wallet, version ?? 0n);
      progress[kind] += page.rows;
      progress.faults.push(...page.faults);
      report(progress);
      if (page.rows === 0 || page.lastWallet === null) break;
      [wallet, version] = [page.lastWallet, page.lastVersion];
    }
  }
  return progress;
}

/** The operations after a key, which is that of the page before: each is held against its last. */
async function judgeOperations(sql: Sql, wallet: bigint, version: bigint): Promise<Page> {
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
        end as fault
      from page window chain as (partition by wallet_id order by version)
    )
    select count(*)::int as rows,
      (select wallet_id from page order by wallet_id desc, version desc limit 1) as "lastWallet",
      (select version from page order by wallet_id desc, version desc limit 1) as "lastVersion",
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
    select count(*)::int as rows, max(id) as "lastWallet", 0::bigint as "lastVersion",
      coalesce(json_agg(json_build_object(
        'wallet', id::text, 'version', version::text, 'fault', fault
      )) filter (where fault is not null), '[]') as faults
    from judged`;
  return page as Page;
}
