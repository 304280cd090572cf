/**
 * Measures one workload: all contenders in alternating rounds, so that a slow moment of the machine
 * meets all of them, and the sum of the balances after each load against the number of 200s.
 */
import { CONTENDERS, type Contender, type ContenderName } from './contenders.ts';
import type { LoadResult } from './load-generator.ts';
import { watchOthers } from './processes.ts';
import { median, round } from './statistics.ts';
import { type Totals, totals } from './wallets.ts';
import type { Target, Workload } from './workloads.ts';

/** By name: one contender, or its variants, of which the best at a workload takes part in it. */
export type Field = Record<ContenderName, Contender[]>;

export interface Pace {
  rounds: number;
  /** Of each load. */
  seconds: number;
}

export interface Standing {
  name: ContenderName;
  variant?: string;
  /** Median of the rounds, as are the latencies. */
  perSecond: number;
  rounds: number[];
  p50Ms: number;
  p99Ms: number;
  ok: number;
  others: Record<string, number>;
}

export interface Ratio extends Target {
  ratio: number;
  isReached: boolean;
}

export interface WorkloadResult {
  id: string;
  title: string;
  connections: number;
  standings: Standing[];
  ratios: Ratio[];
  /** Share of the processors that other programs took meanwhile. */
  othersShare: number;
  /** What was answered wrongly or does not add up; must be empty. */
  faults: string[];
}

/** Before the first round, so that every process has compiled what it runs. */
const WARM_UP_SECONDS = 1;

/** @param isExact whether the generator counts every 200. */
export async function measure(
  workload: Workload,
  field: Field,
  { rounds, seconds }: Pace,
  isExact: boolean,
): Promise<WorkloadResult> {
  const { id, title, connections, targets } = workload;
  const wanted = new Set<ContenderName>(['group commit', ...targets.map(({ over }) => over)]);
  const names = CONTENDERS.filter((name) => wanted.has(name) && field[name].length > 0);
  const contenders: Contender[] = [];
  for (const name of names) contenders.push(await best(field[name], workload));
  const results = new Map(contenders.map((one) => [one, [] as LoadResult[]]));
  const faults: string[] = [];
  const othersShare = watchOthers();
  for (let turn = 1; turn <= rounds; turn += 1) {
    for (const contender of contenders) {
      const before = await totalsOf(contender);
      const result = await contender.load(workload, seconds);
      results.get(contender)?.push(result);
      const wrongSums = await judgeSums(workload, contender, result, before, isExact);
      for (const fault of [...judgeStatus(workload, result), ...wrongSums]) {
        faults.push(`${contender.name}: ${fault}`);
      }
    }
  }
  const standings = contenders.map((one) => standing(one, results.get(one) ?? []));
  return {
    ...{ id, title, connections, standings, faults },
    ratios: ratios(standings, targets),
    othersShare: round(othersShare()),
  };
}

/** Warms every variant up; the fastest goes on. */
async function best(variants: Contender[], workload: Workload): Promise<Contender> {
  let [fastest, record] = [variants[0] as Contender, 0];
  for (const variant of variants) {
    const { perSecond } = await variant.load(workload, WARM_UP_SECONDS);
    if (perSecond > record) [fastest, record] = [variant, perSecond];
  }
  return fastest;
}

const totalsOf = async ({ database }: Contender): Promise<Totals | undefined> =>
  database && totals(database);

/** Only a workload with refusals may be answered otherwise than 200, and then with 400. */
function judgeStatus({ refusesSome }: Workload, { ok, others }: LoadResult): string[] {
  const isWrong = ([kind]: [string, number]) => !(refusesSome && /^400$|2xx/.test(kind));
  const wrong = Object.entries(others).filter(isWrong);
  const faults = wrong.map(([kind, count]) => `${count} answers were ${kind}`);
  return ok > 0 ? faults : [...faults, 'nothing was answered with 200'];
}

async function judgeSums(
  { addsPerOk, connections, refusesSome }: Workload,
  contender: Contender,
  { ok }: LoadResult,
  before: Totals | undefined,
  isExact: boolean,
): Promise<string[]> {
  const after = await totalsOf(contender);
  if (!before || !after) return [];
  const inFlight = isExact || contender.name === 'pgbench' ? 0 : connections;
  const faults: string[] = [];
  const expect = (what: string, grown: bigint, perOk: bigint) => {
    const [low, high] = [perOk * BigInt(ok), perOk * BigInt(ok + inFlight)];
    if (grown < low || grown > high) {
      faults.push(`${what} grew by ${grown}, but ${ok} answers were 200`);
    }
  };
  if (addsPerOk !== undefined) expect('the balances', after.amount - before.amount, addsPerOk);
  const isWritten = addsPerOk !== 0n || refusesSome;
  if (contender.name === 'group commit' && isWritten) {
    expect('the versions', after.operations - before.operations, 1n);
  }
  return faults;
}

function standing({ name, variant }: Contender, results: LoadResult[]): Standing {
  const rates = results.map(({ perSecond }) => round(perSecond, 1));
  const others: Record<string, number> = {};
  for (const [kind, count] of results.flatMap((result) => Object.entries(result.others))) {
    others[kind] = (others[kind] ?? 0) + count;
  }
  return {
    name,
    ...(variant === undefined ? {} : { variant }),
    perSecond: round(median(rates), 1),
    rounds: rates,
    p50Ms: round(median(results.map(({ p50Ms }) => p50Ms))),
    p99Ms: round(median(results.map(({ p99Ms }) => p99Ms))),
    ok: results.reduce((sum, { ok }) => sum + ok, 0),
    others,
  };
}

function ratios(standings: Standing[], targets: Target[]): Ratio[] {
  const rate = (name: ContenderName) => standings.find((one) => one.name === name)?.perSecond;
  return targets.flatMap((target) => {
    const [ours, theirs] = [rate('group commit'), rate(target.over)];
    if (ours === undefined || theirs === undefined) return [];
    const ratio = round(ours / theirs);
    return { ...target, ratio, isReached: ratio >= (target.atLeast ?? 0) };
  });
}
