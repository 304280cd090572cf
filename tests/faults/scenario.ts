/**
 * What every fault scenario does: callers put a service under load, faults happen meanwhile, and
 * afterwards the journal must explain every answer that anybody got.
 */
import { expect } from 'bun:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../../src/database/connection.ts';
import { audit } from '../../src/ledger/audit.ts';
import type { ServerAddress } from '../../src/server-address.ts';
import { Callers } from '../helpers/callers.ts';
import { type CallAnswer, historyFaults, isDecided } from '../helpers/history.ts';

/** How long each scenario goes on, in seconds; `bun run test:faults` asks for more. */
const FAULT_SECONDS = Number(process.env.FAULT_SECONDS ?? 1);

/** For the start of a service, the scenario, and its end on a machine that has much to do. */
export const SCENARIO_TIMEOUT_MS = 60_000 + 4000 * FAULT_SECONDS;

const CALLERS = 16;

/** Load before the first fault, between two, and after the last. */
const LOAD_MS = 300;

/**
 * Lets faults happen for FAULT_SECONDS, at least once, and stops the callers; stubborn ones stop
 * when each has the decision about its last operation.
 */
export async function underLoad(
  { port }: { port: number },
  fault: (round: number, callers: Callers) => Promise<unknown>,
  { areStubborn = false } = {},
): Promise<Callers> {
  const callers = new Callers({ urls: [`http://127.0.0.1:${port}`], count: CALLERS, areStubborn });
  const end = Date.now() + FAULT_SECONDS * 1000;
  try {
    await sleep(LOAD_MS);
    for (let round = 0; round === 0 || Date.now() < end; round += 1) {
      await fault(round, callers);
      await sleep(LOAD_MS);
    }
  } finally {
    await callers.stop();
  }
  return callers;
}

/** Every key was decided, and was told so, though what it was sent with was lost at times. */
export function expectDecided({ posts }: Callers): void {
  const usesOf = Map.groupBy(posts, ({ key = '' }) => key);
  const undecided = [...usesOf].filter(([key, uses]) => key === '' || !uses.some(isDecided));
  expect(undecided).toEqual([]);
  // Some key was sent again after a failure, and was decided then.
  const rescued = [...usesOf.values()].filter((uses) => !uses.every(isDecided));
  expect(rescued.length).toBeGreaterThan(0);
}

/** Every answer is true, the books balance, and nobody was told any of `never`. */
export async function expectTrue(
  callers: Callers,
  database: ServerAddress,
  never: CallAnswer['kind'][],
): Promise<void> {
  const sql = connect(database, { max: 1, name: 'wallet-test-judge' });
  const history = await historyFaults(sql, callers.posts, callers.reads);
  const books = await audit(sql, () => {});
  await sql.end({ timeout: 1 });
  expect([history, books.faults]).toEqual([[], []]);
  expect(callers.count('ok')).toBeGreaterThan(CALLERS);
  for (const kind of never) expect([kind, callers.count(kind)]).toEqual([kind, 0]);
}
