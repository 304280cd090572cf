/** The whole of a run, as results.json holds it, and how it is read out on a terminal. */
import type { CommitTime } from './commit-time.ts';
import type { FeatureCost } from './feature-cost.ts';
import type { FirstMinute } from './first-minute.ts';
import type { Machine } from './machine.ts';
import type { OpenLoopResult } from './open-loop.ts';
import type { Ratio, Standing, WorkloadResult } from './rounds.ts';
import { milliseconds, percent, whole } from './statistics.ts';

export interface BenchResults {
  takenAt: string;
  command: string;
  machine: Machine;
  /** A single client, nothing else at work. */
  commit: CommitTime;
  rounds: number;
  seconds: number;
  workloads: WorkloadResult[];
  openLoop?: OpenLoopResult;
  featureCosts: FeatureCost[];
  firstMinutes: FirstMinute[];
  /** Of the database of group commit, after everything. */
  audit: { operations: number; wallets: number; faults: number };
}

const print = (line = '') => process.stdout.write(`${line}\n`);

/** Beyond this the figures say more about the other programs. */
const OTHERS_SHARE_MAX = 0.05;

const yesNo = (isReached: boolean) => (isReached ? 'reached' : 'NOT REACHED');

/** The head of the report. */
export function printMachine({ machine, commit }: Pick<BenchResults, 'machine' | 'commit'>): void {
  const { processor, cores, memoryGiB, system, fileSystem, bun, postgresql, generator } = machine;
  print(`${processor}, ${cores} cores, ${memoryGiB} GiB, ${system}, ${fileSystem}`);
  print(`Bun ${bun}, PostgreSQL ${postgresql}, ${generator}`);
  const { commits, p50Ms, p99Ms } = commit;
  print(`a single client's commit: median ${milliseconds(p50Ms)}, p99 ${milliseconds(p99Ms)}`);
  print(`  (${whole(commits)} commits)`);
}

/** One workload: a line for each contender, then for each ratio, then what was wrong. */
export function printWorkload(result: WorkloadResult): void {
  const { title, connections, standings, ratios, othersShare, faults } = result;
  print(`\n${title}${title.includes('connections') ? '' : `, ${connections} connections`}`);
  for (const standing of standings) print(`  ${describeStanding(standing)}`);
  for (const ratio of ratios) print(`  ${describeRatio(ratio)}`);
  if (othersShare > OTHERS_SHARE_MAX) {
    print(`  other programs took ${percent(othersShare)} of the processors: measure again`);
  }
  for (const fault of faults) print(`  WRONG: ${fault}`);
}

function describeStanding({ name, variant, perSecond, p50Ms, p99Ms, others }: Standing): string {
  const refused = Object.entries(others).map(([kind, count]) => `, ${whole(count)} x ${kind}`);
  const latency = `p50 ${milliseconds(p50Ms)}, p99 ${milliseconds(p99Ms)}`;
  return [
    (variant === undefined ? name : `${name}, ${variant}`).padEnd(40),
    `${whole(perSecond).padStart(9)}/s`,
    Number.isNaN(p50Ms) ? '' : `   ${latency}`,
    ...refused,
  ].join('');
}

function describeRatio({ over, atLeast, ratio, isReached }: Ratio): string {
  const show = (value: number) => (over === 'ceiling' ? percent(value) : `${value.toFixed(2)} x`);
  const judged = atLeast === undefined ? '' : `, must be ${show(atLeast)}: ${yesNo(isReached)}`;
  return `= ${show(ratio)} ${over === 'ceiling' ? 'of the ceiling' : over}${judged}`;
}

export function printOpenLoop(result: OpenLoopResult): void {
  const { rate, seconds, ok, others, p50Ms, p99Ms, commit, ratio, atMost, isReached } = result;
  print(`\nopen loop, ${whole(rate)} requests/s on one wallet for ${seconds} s`);
  const statuses = { 200: ok, ...others };
  const list = Object.entries(statuses).map(([kind, count]) => `${whole(count)} x ${kind}`);
  print(`  ${list.join(', ')}; p50 ${milliseconds(p50Ms)}, p99 ${milliseconds(p99Ms)}`);
  const times = `median ${milliseconds(commit.p50Ms)}, p99 ${milliseconds(commit.p99Ms)}`;
  print(`  a single client's commits meanwhile, 20/s: ${times}`);
  print(`  = ${ratio.toFixed(2)} x their p99, must be at most ${atMost}: ${yesNo(isReached)}`);
}

export function printFeatureCost(result: FeatureCost): void {
  const { title, generator, connections, withPerSecond, withoutPerSecond, faults } = result;
  const { ratio, atLeast, isReached } = result;
  print(`\n${title}; ${connections} connections, ${generator}`);
  print(`  without ${whole(withoutPerSecond)}/s, with ${whole(withPerSecond)}/s`);
  print(`  = ${percent(ratio)}, must be ${percent(atLeast)}: ${yesNo(isReached)}`);
  for (const fault of faults) print(`  WRONG: ${fault}`);
}

export function printFirstMinute({ title, parts, partSeconds, ratio, others }: FirstMinute): void {
  print(`\n${title}: deposits/s in each ${partSeconds} s on a new, empty database`);
  print(`  ${parts.map(whole).join('  ')}   first / last = ${percent(ratio)}`);
  for (const [kind, count] of Object.entries(others)) print(`  ${whole(count)} x ${kind}`);
}
