/**
 * Reads a wallet's past from its journal: pages of operations, and the balance at a moment.
 * Invariant: every answer is found by the journal's key, at the same cost however long it is.
 */
import type { Sql } from '../database/connection.ts';
import type { Line } from '../database/line.ts';
import { answerLateCalls, type Call } from './call.ts';
import {
  AWAY,
  type JournalEntry,
  type Moment,
  type MomentOutcome,
  type NotApplied,
  type PageOutcome,
  type PageRequest,
} from './ledger.ts';
import { read } from './reading.ts';

type Found = Exclude<MomentOutcome | PageOutcome, NotApplied>;

/** Reads what one call asks for. */
export type JournalQuery = (sql: Sql) => Promise<Found>;

/** Carries calls through a line, one after the other; resolves when each is answered. */
export function readJournal(
  line: Line,
  calls: Call<JournalQuery, Found | NotApplied>[],
): Promise<void> {
  const inTurn = async () => {
    for (const call of calls) await read(line, [call], call.question, (_, answer) => answer);
  };
  // One that hangs must not make those behind it late.
  return answerLateCalls(calls, inTurn(), AWAY);
}

/** The balance right after an operation, or after the last one not later than a time. */
export const momentQuery = (walletId: bigint, moment: Moment) => async (sql: Sql) => {
  // As text first: the driver would write a parameter of type timestamptz in milliseconds.
  const version =
    'version' in moment
      ? sql`${moment.version}::bigint`
      : sql`version_at(${walletId}, ${moment.at}::text::timestamptz)`;
  const [row] = await sql<{ exists: boolean; balance: bigint | null; version: bigint }[]>`
    select exists (select from wallets where id = ${walletId}),
      operation.balance, operation.version
    from (values (${version})) as asked (version)
    left join operations as operation
      on operation.wallet_id = ${walletId} and operation.version = asked.version`;
  if (!row?.exists) return { kind: 'no_wallet' } as const;
  const { balance, version: found } = row;
  return balance === null
    ? ({ kind: 'no_version' } as const)
    : ({ kind: 'ok', balance, version: found } as const);
};

/** A page of operations, newest first. */
export const pageQuery =
  (walletId: bigint, { limit, before }: PageRequest) =>
  async (sql: Sql) => {
    const [row] = await sql<{ version: bigint; entries: StoredEntry[] }[]>`
      select wallet.version, coalesce((
        select json_agg(json_build_array(
          version::text, type, amount::text, balance::text,
          to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), idempotency_key
        ) order by version desc)
        from (
          select * from operations
          where wallet_id = ${walletId} and version < ${before}
          order by version desc limit ${limit}
        ) as page
      ), '[]') as entries
      from wallets as wallet where wallet.id = ${walletId}`;
    if (!row) return { kind: 'no_wallet' } as const;
    return { kind: 'ok', version: row.version, entries: row.entries.map(entry) } as const;
  };

type StoredEntry = [
  version: string,
  type: JournalEntry['type'],
  amount: string,
  balance: string,
  createdAt: string,
  key: string | null,
];

const entry = ([version, type, amount, balance, createdAt, key]: StoredEntry): JournalEntry => {
  return {
    version: BigInt(version),
    type,
    amount: BigInt(amount),
    balance: BigInt(balance),
    createdAt,
    key,
  };
};
