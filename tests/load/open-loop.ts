/**
 * Latency at a load that the service carries with ease: requests come at their rate, whatever the
 * answers do, and the time that one had to wait for its turn counts.
 */
import type { ServerAddress } from '../../src/server-address.ts';
import { type CommitTime, commitTimes, summarize } from './commit-time.ts';
import type { LoadGenerator } from './load-generator.ts';
import { round } from './statistics.ts';
import { depositsTo, HOT_WALLET } from './workloads.ts';

export interface OpenLoopResult {
  rate: number;
  seconds: number;
  ok: number;
  others: Record<string, number>;
  p50Ms: number;
  p99Ms: number;
  /** A single client's commits in the same minute, a few of them every second. */
  commit: CommitTime;
  /** p99 of the service over that of the commits. */
  ratio: number;
  atMost: number;
  isReached: boolean;
}

const RATE = 1000;
const CONNECTIONS = 256;
const AT_MOST = 5;

/** Often enough for a p99, seldom enough not to be the load. */
const COMMIT_PAUSE_MS = 50;

/** @param commits the database on which a single client commits meanwhile. */
export async function measureOpenLoop(
  base: string,
  generator: LoadGenerator,
  commits: ServerAddress,
  seconds: number,
): Promise<OpenLoopResult> {
  const traffic = depositsTo(HOT_WALLET, 1);
  const load = { traffic, base, connections: CONNECTIONS, seconds, rate: RATE };
  const [result, times] = await Promise.all([
    generator.run(load),
    commitTimes(commits, { seconds, pauseMs: COMMIT_PAUSE_MS }),
  ]);
  const { ok, others, p50Ms, p99Ms } = result;
  const commit = summarize(times);
  const ratio = round(p99Ms / commit.p99Ms);
  return {
    rate: RATE,
    seconds,
    ok,
    others,
    p50Ms: round(p50Ms),
    p99Ms: round(p99Ms),
    commit,
    ratio,
    atMost: AT_MOST,
    isReached: ratio <= AT_MOST && ok > 0 && Object.keys(others).length === 0,
  };
}
