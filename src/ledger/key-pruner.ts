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
 * Removes some of the oldest keys that are past their time.
 * @returns how many.
 */
export async function pruneStep(sql: Sql, ttlHours: number): Promise<number> {
  const [step] = await sql<{ forgotten: number }[]>`
    select prune_keys(${ttlHours}::int, ${STEP_ROWS}::int) as forgotten`;
  if (!step) throw new Error('Bug: a function returned no row');
  return step.forgotten;
}
