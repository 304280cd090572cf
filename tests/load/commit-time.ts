/**
 * How long this machine takes to commit: one client, one connection, one upsert after the other.
 * The yardstick for every latency, because no service that commits can answer sooner.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../../src/database/connection.ts';
import type { ServerAddress } from '../../src/server-address.ts';
import { quantile, round } from './statistics.ts';
import { AMOUNT } from './workloads.ts';

export interface CommitTime {
  commits: number;
  p50Ms: number;
  p99Ms: number;
}

/** A wallet of its own in the database of the classical contender. */
const WALLET = 9_000_000;

const WARM_UP_COMMITS = 50;

/** @param pauseMs between two commits; 0 is as fast as it goes. */
export async function commitTimes(
  address: ServerAddress,
  { seconds, pauseMs = 0 }: { seconds: number; pauseMs?: number },
): Promise<number[]> {
  const sql = connect(address, { max: 1, name: 'wallet-commit-time' });
  const commit = () => sql`
    insert into wallets (id, amount, version, changed_at)
    values (${WALLET}, ${AMOUNT}, 0, '-infinity')
    on conflict (id) do update set amount = wallets.amount + excluded.amount
    returning amount`;
  const times: number[] = [];
  try {
    for (let commits = 0; commits < WARM_UP_COMMITS; commits += 1) await commit();
    const end = performance.now() + 1000 * seconds;
    while (performance.now() < end) {
      const started = performance.now();
      await commit();
      times.push(performance.now() - started);
      if (pauseMs > 0) await sleep(pauseMs);
    }
    return times;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** The median and the 99th percentile of some commits. */
export function summarize(times: number[]): CommitTime {
  return {
    commits: times.length,
    p50Ms: round(quantile(times, 0.5)),
    p99Ms: round(quantile(times, 0.99)),
  };
}
