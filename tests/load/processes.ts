/**
 * The processes below this one and the memory that each has for itself.
 * Invariant: shared buffers do not count, nor do program files: only resident anonymous memory,
 * which is what a leak fills. Linux only.
 */
import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessMemory {
  pid: number;
  /** What it is: `worker`, `supervisor`, `postgres: checkpointer`, … */
  role: string;
  mebibytes: number;
}

/** All descendants of this process that belong to the service. */
export function sampleMemory(): ProcessMemory[] {
  const parents = new Map<number, number>();
  const samples: ProcessMemory[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const status = readProc(pid, 'status');
    const role = roleOf(readProc(pid, 'cmdline'));
    parents.set(pid, field(status, 'PPid'));
    if (role) samples.push({ pid, role, mebibytes: field(status, 'RssAnon') / 1024 });
  }
  const isOurs = (pid: number | undefined): boolean =>
    pid === process.pid || (pid !== undefined && pid > 1 && isOurs(parents.get(pid)));
  return samples.filter(({ pid }) => pid !== process.pid && isOurs(pid));
}

/** A process may end between the look and the reading. */
function readProc(pid: number, file: string): string {
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
