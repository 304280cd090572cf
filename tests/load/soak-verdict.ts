/**
 * Judges a soak. Memory: the median of the last minute against that of the second, for every
 * process that lived through both; the first minute is for growing into the work. Latency: p99 of
 * the last minute against the second's. Books: the journal holds one row for each 200.
 */
import type { ProcessMemory } from './processes.ts';
import { median, milliseconds, percent, round, whole } from './statistics.ts';

export interface Minute {
  perSecond: number;
  ok: number;
  others: Record<string, number>;
  p50Ms: number;
  p99Ms: number;
  samples: ProcessMemory[][];
}

export interface SoakResults {
  connections: number;
  minutes: Minute[];
  audit: { operations: number; faults: number };
}

export interface Check {
  name: string;
  holds: boolean;
  detail: string;
}

const MEMORY_DRIFT_MAX = 0.1;

/** Below this a change is a few pages of the allocator, whatever part of a small process it is. */
const MEMORY_NOISE_MEBIBYTES = 0.25;

const P99_DRIFT_MAX = 0.2;

/** @param isExact whether the generator counted every 200; else some were still under way. */
export function judgeSoak(results: SoakResults, isExact: boolean): Check[] {
  const { minutes, audit, connections } = results;
  const [second, last] = [minutes[1], minutes.at(-1)];
  if (!second || !last) throw new Error('Bug: a soak has at least two minutes');
  const ok = minutes.reduce((sum, minute) => sum + minute.ok, 0);
  const slack = isExact ? 0 : connections * minutes.length;
  const kinds = minutes.flatMap(({ others }) => Object.keys(others));
  const drift = last.p99Ms / second.p99Ms - 1;
  return [
    ...judgeMemory(second, last),
    {
      name: 'p99',
      holds: drift <= P99_DRIFT_MAX,
      detail: `${milliseconds(second.p99Ms)} -> ${milliseconds(last.p99Ms)}, ${signed(drift)}`,
    },
    {
      name: 'answers',
      // 503 is right when there is no room to wait; nothing else ever is.
      holds: kinds.every((kind) => kind === '503'),
      detail: [`${whole(ok)} x 200`, ...new Set(kinds)].join(', also '),
    },
    {
      name: 'journal',
      holds: audit.operations >= ok && audit.operations <= ok + slack,
      detail: `${whole(audit.operations)} operations for ${whole(ok)} answers of 200`,
    },
    { name: 'audit', holds: audit.faults === 0, detail: `${audit.faults} faults` },
  ];
}

function judgeMemory(second: Minute, last: Minute): Check[] {
  const [before, after] = [memoryOf(second), memoryOf(last)];
  const lasting = [...after.keys()].filter((pid) => before.has(pid));
  return lasting.map((pid) => {
    const [then, now] = [before.get(pid), after.get(pid)] as [ProcessMemory, ProcessMemory];
    const growth = now.mebibytes - then.mebibytes;
    const drift = growth / then.mebibytes;
    const isNoise = Math.abs(growth) < MEMORY_NOISE_MEBIBYTES;
    return {
      name: `memory of ${now.role} ${pid}`,
      holds: isNoise || drift <= MEMORY_DRIFT_MAX,
      detail: `${round(then.mebibytes, 1)} -> ${round(now.mebibytes, 1)} MiB, ${signed(drift)}`,
    };
  });
}

/** Each process's median in a minute. */
function memoryOf({ samples }: Minute): Map<number, ProcessMemory> {
  const byPid = Map.groupBy(samples.flat(), ({ pid }) => pid);
  const medians = [...byPid].map(([pid, list]) => {
    const role = list[0]?.role ?? '';
    return [pid, { pid, role, mebibytes: median(list.map((one) => one.mebibytes)) }] as const;
  });
  return new Map(medians);
}

const signed = (share: number) => `${share < 0 ? '' : '+'}${percent(share)}`;

/** A line for a minute that is over: answers, latency, and the memory of each kind of process. */
export function printMinute(number: number, minute: Minute): void {
  const { perSecond, p50Ms, p99Ms, others } = minute;
  const byRole = Map.groupBy(memoryOf(minute).values(), ({ role }) => role);
  const memory = [...byRole].map(([role, list]) => {
    const sum = list.reduce((total, { mebibytes }) => total + mebibytes, 0);
    return `${list.length > 1 ? `${list.length} x ` : ''}${role} ${round(sum, 1)}`;
  });
  const refused = Object.entries(others).map(([kind, count]) => `, ${whole(count)} x ${kind}`);
  const latency = `p50 ${milliseconds(p50Ms)}, p99 ${milliseconds(p99Ms)}`;
  process.stdout.write(`minute ${number}: ${whole(perSecond)}/s, ${latency}${refused.join('')}\n`);
  process.stdout.write(`  MiB: ${memory.join(', ')}\n`);
}

export function printSoak({ connections, minutes }: SoakResults, verdict: Check[]): void {
  process.stdout.write(`\n${minutes.length} minutes, ${connections} connections\n`);
  for (const { name, holds, detail } of verdict) {
    process.stdout.write(`  ${holds ? 'holds' : 'FAILS'}  ${name.padEnd(34)} ${detail}\n`);
  }
}
