/**
 * Whether a new, empty database is as fast in its first seconds as later: PostgreSQL plans for the
 * tables it sees, and empty ones mislead it until autovacuum has looked at them.
 * Invariant: nothing but the migrations touches the database before the first request.
 */
import { startService } from './contenders.ts';
import type { LoadGenerator } from './load-generator.ts';
import type { Stage } from './stage.ts';
import { round } from './statistics.ts';
import { SEEDED_WALLETS } from './wallets.ts';
import { depositsTo, FIRST_FRESH_WALLET } from './workloads.ts';

export interface FirstMinute {
  id: string;
  title: string;
  /** Deposits per second in each of six equal parts of the time. */
  parts: number[];
  partSeconds: number;
  /** The first part over the last. */
  ratio: number;
  others: Record<string, number>;
}

export const FIRST_MINUTES = [
  { id: 'first-minute-one', title: 'first minute, one wallet', wallets: 1 },
  { id: 'first-minute-many', title: 'first minute, 100,000 wallets', wallets: SEEDED_WALLETS },
];

const PARTS = 6;
const CONNECTIONS = 256;

/** Loads a new service on a new database for `seconds`, from its first moment. */
export async function measureFirstMinute(
  stage: Stage,
  generator: LoadGenerator,
  { id, title, wallets }: (typeof FIRST_MINUTES)[number],
  seconds: number,
): Promise<FirstMinute> {
  const database = await stage.database(`new_${wallets}`);
  const base = await startService(stage, { database });
  const traffic = depositsTo(FIRST_FRESH_WALLET, wallets);
  const partSeconds = Math.max(1, Math.round(seconds / PARTS));
  const parts: number[] = [];
  const others: Record<string, number> = {};
  while (parts.length < PARTS) {
    const load = { traffic, base, connections: CONNECTIONS, seconds: partSeconds };
    const result = await generator.run(load);
    parts.push(round(result.perSecond, 1));
    for (const [kind, count] of Object.entries(result.others)) {
      others[kind] = (others[kind] ?? 0) + count;
    }
  }
  const [first = Number.NaN, last = Number.NaN] = [parts[0], parts.at(-1)];
  return { id, title, parts, partSeconds, ratio: round(first / last), others };
}
