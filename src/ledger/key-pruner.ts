/**
 * Forgets the answers of idempotency keys that are older than the service promises to keep them.
 * Invariant: each step is a short transaction of its own, locks only rows that nobody else needs,
 * and leaves the time in between to the flights.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sql } from '../database/connection.ts';
import type { Line } from '../database/line.ts';
import type { Logger } from '../log.ts';

/** Rows in one step: about 2 ms. */
const STEP_ROWS = 1000;

/** Between steps; so pruning keeps pace with 20,000 keys a second. */
const STEP_PAUSE_MS = 50;

/** Between rounds, when nothing old is left. */
const ROUND_PAUSE_MS = 60_000;

/** Prunes until `stop`. A database that is away is left alone until the next round. */
export async function pruneKeys(line: Line, ttlHours: number, logger: Logger, stop: AbortSignal) {
  while (!stop.aborted) {
    const step = await line.attempt((sql) => pruneStep(sql, ttlHours));
    if (step.kind === 'final') logger.error({ err: step.error }, 'cannot prune idempotency keys');
    const isMore = step.kind === 'answered' && step.value === STEP_ROWS;
    const pause = isMore ? STEP_PAUSE_MS : ROUND_PAUSE_MS;
    await sleep(pause, undefined, { signal: stop }).catch(() => {});
  }
}

/**
 * Removes some of the oldest keys that are past their time. They are found once, and then by where
 * they lie: joined by their key instead, every step went through the whole table, for which
 * PostgreSQL chose a hash join whenever it was small, or had been when the statement was planned.
 * @returns how many.
 */
export async function pruneStep(sql: Sql, ttlHours: number): Promise<number> {
  const { count } = await sql`
    delete from idempotency_keys where ctid = any (array(
      select ctid from idempotency_keys
      where created_at < now() - make_interval(hours => ${ttlHours}::int)
      order by created_at limit ${STEP_ROWS} for update skip locked
    ))`;
  return count;
}
