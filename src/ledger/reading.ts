/**
 * Reads through a line until every call is answered.
 * Invariant: reading changes nothing, so nothing about it is ever unknown.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sql } from '../database/connection.ts';
import type { Line } from '../database/line.ts';
import { answerLateCalls, type Call } from './call.ts';
import { AWAY, type NotApplied } from './ledger.ts';

const RETRY_MS = 100;

/**
 * Asks again as long as the database does not answer, and answers each call by its deadline.
 * @param query starts after the last of the calls arrived.
 */
export async function read<Question, Answer, Found>(
  line: Line,
  calls: Call<Question, Answer | NotApplied>[],
  query: (sql: Sql) => Promise<Found>,
  answerTo: (question: Question, found: Found) => Answer | NotApplied,
): Promise<void> {
  while (calls.some(({ answered }) => !answered)) {
    const attempt = await answerLateCalls(calls, line.attempt(query), AWAY);
    if (attempt.kind === 'answered') {
      for (const call of calls) call.answer(answerTo(call.question, attempt.value));
    } else if (attempt.kind === 'final') {
      for (const call of calls) call.fail(attempt.error);
    } else await answerLateCalls(calls, sleep(RETRY_MS), AWAY);
  }
}
