/**
 * What a feature costs: deposits on one wallet with it and without, in alternating rounds by the
 * same generator.
 */
import type { ServerAddress } from '../../src/server-address.ts';
import type { LoadGenerator, LoadResult, Traffic } from './load-generator.ts';
import type { Pace } from './rounds.ts';
import { median, round } from './statistics.ts';
import { totals } from './wallets.ts';
import { AMOUNT, depositsTo, HOT_WALLET } from './workloads.ts';

/** The row of a feature, and what must remain of the rate without it. */
interface Feature {
  id: string;
  title: string;
  atLeast: number;
}

export interface FeatureCost extends Feature {
  generator: string;
  connections: number;
  /** Medians of the rounds. */
  withPerSecond: number;
  withoutPerSecond: number;
  ratio: number;
  isReached: boolean;
  /** What was answered wrongly or does not add up; must be empty. */
  faults: string[];
}

export const KEYS: Feature = {
  id: 'idempotency-keys',
  title: 'a fresh Idempotency-Key on every deposit',
  atLeast: 0.75,
};

export const COUNTING: Feature = {
  id: 'counting',
  title: 'metrics, counted and reported by the workers',
  atLeast: 0.97,
};

/** One side of a comparison: what is sent where. */
export interface Side {
  base: string;
  traffic: Traffic;
}

export const plainDeposits = depositsTo(HOT_WALLET, 1);
export const keyedDeposits = { ...plainDeposits, hasFreshKeys: true };

const CONNECTIONS = 256;

/** @param database where both sides keep their wallets. */
export async function measureCost(
  feature: Feature,
  sides: { with: Side; without: Side },
  generator: LoadGenerator,
  database: ServerAddress,
  { rounds, seconds }: Pace,
): Promise<FeatureCost> {
  const rates = { with: [] as number[], without: [] as number[] };
  const faults: string[] = [];
  for (let turn = 0; turn < rounds; turn += 1) {
    // Each goes first in every other round.
    const order = ['without', 'with'] as const;
    for (const name of turn % 2 === 0 ? order : order.toReversed()) {
      const before = await totals(database);
      const result = await generator.run({ ...sides[name], connections: CONNECTIONS, seconds });
      const after = await totals(database);
      rates[name].push(result.perSecond);
      faults.push(...judge(result, after.amount - before.amount).map((one) => `${name}: ${one}`));
    }
  }
  const [withPerSecond, withoutPerSecond] = [median(rates.with), median(rates.without)];
  const ratio = round(withPerSecond / withoutPerSecond);
  return {
    ...feature,
    generator: generator.name,
    connections: CONNECTIONS,
    withPerSecond: round(withPerSecond, 1),
    withoutPerSecond: round(withoutPerSecond, 1),
    ratio,
    isReached: ratio >= feature.atLeast,
    faults,
  };
}

/**
 * The generator may drop what is under way when the time is up; what it dropped from the load
 * before may have been applied in this one.
 */
function judge({ ok, others }: LoadResult, grown: bigint): string[] {
  const faults = Object.entries(others).map(([kind, count]) => `${count} answers were ${kind}`);
  const [low, high] = [AMOUNT * BigInt(ok), AMOUNT * BigInt(ok + 2 * CONNECTIONS)];
  if (grown >= low && grown <= high) return faults;
  return [...faults, `the balance grew by ${grown}, but ${ok} answers were 200`];
}
