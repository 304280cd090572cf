/**
 * Answers all balances that were asked for while the last answer was on its way with one query.
 * Invariant: a query starts after the last of its calls arrived, so it sees every operation that
 * was answered before any of them.
 */
import { arrayElements, arrayText } from '../database/array-text.ts';
import type { Sql } from '../database/connection.ts';
import type { Line } from '../database/line.ts';
import type { Call } from './call.ts';
import type { BalanceOutcome } from './ledger.ts';
import { read } from './reading.ts';

/** Carries calls through a line; resolves when each is answered. */
export function readBalances(line: Line, calls: Call<bigint, BalanceOutcome>[]): Promise<void> {
  const ids = [...new Set(calls.map(({ question }) => question))];
  return read(line, calls, (sql) => select(sql, ids), answerTo);
}

function answerTo(id: bigint, found: Map<bigint, BalanceOutcome>): BalanceOutcome {
  const outcome = found.get(id);
  if (!outcome) throw new Error('Bug: fewer balances than were asked for');
  return outcome;
}

/** One row of arrays is read faster than many rows. */
async function select(sql: Sql, ids: bigint[]): Promise<Map<bigint, BalanceOutcome>> {
  const [row] = await sql<{ balances: string; versions: string }[]>`
    select array_agg(wallet.amount order by asked.place) as balances,
      array_agg(wallet.version order by asked.place) as versions
    from unnest(${arrayText(ids)}::bigint[]) with ordinality as asked (id, place)
    left join wallets as wallet on wallet.id = asked.id`;
  if (!row) throw new Error('Bug: an aggregate returned no row');
  const [balances, versions] = [arrayElements(row.balances), arrayElements(row.versions)];
  return new Map(ids.map((id, at) => [id, outcome(balances[at], versions[at])]));
}

function outcome(balance = '', version = ''): BalanceOutcome {
  if (balance === 'NULL') return { kind: 'no_wallet' };
  return { kind: 'ok', balance: BigInt(balance), version: BigInt(version) };
}
