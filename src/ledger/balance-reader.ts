/**
 * Answers all balances that were asked for while the last answer was on its way with one query.
 * Invariant: a query starts after the last of its calls arrived, so it sees every operation that
 * was answered before any of them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sql } from '../database/connection.ts';
import type { Line } from '../database/line.ts';
import { answerLateCalls, type Call } from './call.ts';
import type { BalanceOutcome, NotApplied } from './ledger.ts';

const RETRY_MS = 100;

/** Reading changes nothing, so nothing about it is ever unknown. */
const AWAY: NotApplied = { kind: 'not_applied', reason: 'the database is away' };

/** Carries calls through a line; resolves when each is answered. */
export async function readBalances(line: Line, calls: Call<bigint, BalanceOutcome>[]) {
  while (calls.some(({ answered }) => !answered)) {
    const ids = [...new Set(calls.map(({ question }) => question))];
    const attempt = await answerLateCalls(
      calls,
      line.attempt((sql) => select(sql, ids)),
      AWAY,
    );
    if (attempt.kind === 'answered') {
      for (const call of calls) call.answer(outcome(attempt.value.get(call.question)));
    } else if (attempt.kind === 'final') {
      for (const call of calls) call.fail(attempt.error);
    } else await answerLateCalls(calls, sleep(RETRY_MS), AWAY);
  }
}

/** The balance of each id, as digits or NULL. One row of arrays is read faster than many rows. */
async function select(sql: Sql, ids: bigint[]): Promise<Map<bigint, string>> {
  const [row] = await sql<{ balances: string }[]>`
    select array_agg(wallet.amount order by asked.place) as balances
    from unnest(${`{${ids.join()}}`}::bigint[]) with ordinality as asked (id, place)
    left join wallets as wallet on wallet.id = asked.id`;
  if (!row) throw new Error('Bug: an aggregate returned no row');
  const balances = row.balances.slice(1, -1).split(',');
  return new Map(ids.map((id, at) => [id, balances[at] as string]));
}

function outcome(digits: string | undefined): BalanceOutcome {
  if (!digits) throw new Error('Bug: fewer balances than were asked for');
  return digits === 'NULL' ? { kind: 'no_wallet' } : { kind: 'ok', balance: BigInt(digits) };
}
