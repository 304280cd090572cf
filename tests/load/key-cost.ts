/**
 * What an Idempotency-Key costs: deposits on one wallet, with a fresh key on every request and
 * without, in alternating rounds on the same service by the same generator.
 */
import type { ServerAddress } from '../../src/server-address.ts';
import type { LoadGenerator, LoadResult } from './load-generator.ts';
import type { Pace } from './rounds.ts';
import { median, round } from './statistics.ts';
import { totals } from './wallets.ts';
import { AMOUNT, depositsTo, HOT_WALLET } from './workloads.ts';

export interface KeyCost {
  generator: string;
  connections: number;
  /** Medians of the rounds. */
  withKeysPerSecond: number;
  withoutKeysPerSecond: number;
  ratio: number;
  atLeast: number;
  isReached: boolean;
  /** What was answered wrongly or does not add up; must be empty. */
  faults: string[];
}

const CONNECTIONS = 256;
const AT_LEAST = 0.75;

/** @param database where the service at `base` keeps its wallets. */
export async function measureKeyCost(
  base: string,
  generator: LoadGenerator,
  database: ServerAddress,
  { rounds, seconds }: Pace,
): Promise<KeyCost> {
  const plain = depositsTo(HOT_WALLET, 1);
  const keyed = { ...plain, hasFreshKeys: true };
  const rates = { plain: [] as number[], keyed: [] as number[] };
  const faults: string[] = [];
  for (let turn = 0; turn < rounds; turn += 1) {
    for (const [name, traffic] of Object.entries({ plain, keyed })) {
      const before = await totals(database);
      const result = await generator.run({ traffic, base, connections: CONNECTIONS, seconds });
      const after = await totals(database);
      rates[name as keyof typeof rates].push(result.perSecond);
      faults.push(...judge(result, after.amount - before.amount).map((one) => `${name}: ${one}`));
    }
  }
  const [withKeys, withoutKeys] = [median(rates.keyed), median(rates.plain)];
  const ratio = round(withKeys / withoutKeys);
  return {
    generator: generator.name,
    connections: CONNECTIONS,
    withKeysPerSecond: round(withKeys, 1),
    withoutKeysPerSecond: round(withoutKeys, 1),
    ratio,
    atLeast: AT_LEAST,
    isReached: ratio >= AT_LEAST,
    faults,
  };
}

/** The generator may drop what is under way when the time is up. */
function judge({ ok, others }: LoadResult, grown: bigint): string[] {
  const faults = Object.entries(others).map(([kind, count]) => `${count} answers were ${kind}`);
  const [low, high] = [AMOUNT * BigInt(ok), AMOUNT * BigInt(ok + CONNECTIONS)];
  if (grown >= low && grown <= high) return faults;
  return [...faults, `the balance grew by ${grown}, but ${ok} answers were 200`];
}
