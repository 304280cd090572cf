/**
 * The processes below this one: the memory that each has for itself, and the time that others took.
 * Invariant: shared buffers do not count as memory, nor do program files: only what is resident and
 * anonymous, which is what a leak fills. Linux only; elsewhere there is nothing to see.
 */
import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessMemory {
  pid: number;
  /** What it is: `worker`, `supervisor`, `postgres: checkpointer`, … */
  role: string;
  mebibytes: number;
}

/** Processor time in ticks since each began. */
interface Ticks {
  /** Of this process, what it has waited for, and all that is running below it. */
  own: number;
  busy: number;
  total: number;
}

/** The processes below this one, this one included. */
function descendants(): { pid: number; status: string }[] {
  const all = readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid))
    .map((pid) => ({ pid, status: readProc(pid, 'status') }));
  const parents = new Map(all.map(({ pid, status }) => [pid, field(status, 'PPid')]));
  const isOurs = (pid: number | undefined): boolean =>
    pid === process.pid || (pid !== undefined && pid > 1 && isOurs(parents.get(pid)));
  return all.filter(({ pid }) => isOurs(pid));
}

/** What each process of the service holds. */
export function sampleMemory(): ProcessMemory[] {
  return descendants().flatMap(({ pid, status }) => {
    const role = roleOf(readProc(pid, 'cmdline'));
    return role ? [{ pid, role, mebibytes: field(status, 'RssAnon') / 1024 }] : [];
  });
}

function ticks(): Ticks {
  const own = descendants().map(({ pid }) => {
    const fields = readProc(pid, 'stat').split(') ')[1]?.split(' ') ?? [];
    const [user, system, waitedUser, waitedSystem] = fields.slice(11, 15).map(Number);
    const waited = pid === process.pid ? (waitedUser ?? 0) + (waitedSystem ?? 0) : 0;
    return (user ?? 0) + (system ?? 0) + waited;
  });
  const times = (/^cpu +(.*)/.exec(readProc('', 'stat'))?.[1] ?? '').split(' ').map(Number);
  const total = times.slice(0, 8).reduce((sum, time) => sum + time, 0);
  const [, , , idle = 0, waiting = 0] = times;
  return { own: own.reduce((sum, time) => sum + time, 0), busy: total - idle - waiting, total };
}

/**
 * Starts to watch the processors.
 * @returns a function that says which share of them programs other than ours have taken since, so
 *   that a run on a machine that was busy with something else is not taken for a result.
 */
export function watchOthers(): () => number {
  if (process.platform !== 'linux') return () => 0;
  const before = ticks();
  return () => {
    const after = ticks();
    const others = after.busy - before.busy - (after.own - before.own);
    return Math.max(0, others / (after.total - before.total));
  };
}

/** A process may end between the look and the reading. */
function readProc(pid: number | '', file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

const field = (status: string, name: string) =>
  Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);

function roleOf(commandLine: string): string | undefined {
  const words = commandLine.split('\0').join(' ').trim();
  if (/main\.ts worker$/.test(words)) return 'worker';
  if (/main\.ts start /.test(words)) return 'supervisor';
  if (/\/postgres -D /.test(words)) return 'postgres';
  // "postgres: wallet soak [local] idle": what it does at the moment is not its name.
  const client = /^postgres: \S+ \S+ \[local\]/.exec(words);
  if (client) return 'postgres: backend';
  return /^postgres: .*/.exec(words)?.[0].trim();
}
