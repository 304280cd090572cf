/**
 * What only the supervisor knows: its workers, their processes, the database, the version.
 * Invariant: a process is named by its place, not by its id, so that a series goes on when a worker
 * is replaced.
 */
import { Counter, Gauge, type Registry } from 'prom-client';
import { version } from '../../package.json' with { type: 'json' };
import type { ProcessState } from './process-watch.ts';

export interface NamedProcess {
  /** `supervisor`, `worker-1`, `worker-2`, … */
  name: string;
  pid: number;
  /** Unknown before the first report. */
  state: ProcessState | undefined;
}

export interface ServiceState {
  /** The supervisor and its workers. */
  processes: () => NamedProcess[];
  isDatabaseUp: () => boolean;
}

/** Counts what gauges cannot show. */
export interface ServiceCounters {
  /** A worker ended without being told to. */
  countDeath: () => void;
  /** To be called often: what a process spent after the last call, and before its end, is lost. */
  countSpent: () => void;
}

/** Adds the supervisor's metrics to a registry. */
export function addServiceGauges(registry: Registry, state: ServiceState): ServiceCounters {
  const registers = [registry];
  const known = () => {
    return state.processes().flatMap((one) => (one.state ? [{ ...one, state: one.state }] : []));
  };
  const perProcess = (name: string, help: string, value: (state: ProcessState) => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['process'],
      registers,
      collect() {
        this.reset();
        for (const one of known()) this.set({ process: one.name }, value(one.state));
      },
    });
  perProcess('wallet_process_resident_memory_bytes', 'Memory in use.', (one) => one.residentBytes);
  perProcess(
    'wallet_process_event_loop_lag_seconds',
    'The longest that the process kept anything waiting in the last second; grows while it hangs.',
    (one) => one.lagSeconds,
  );
  const cpu = new Counter({
    name: 'wallet_process_cpu_seconds_total',
    help: 'Processor time, of all processes that had this name.',
    labelNames: ['process'],
    registers,
  });
  new Gauge({
    name: 'wallet_workers',
    help: 'Worker processes that are there.',
    registers,
    collect() {
      this.set(state.processes().length - 1);
    },
  });
  new Gauge({
    name: 'wallet_database_up',
    help: 'Whether the database answered when it was last asked, at most a few seconds ago.',
    registers,
    collect() {
      this.set(state.isDatabaseUp() ? 1 : 0);
    },
  });
  new Gauge({
    name: 'wallet_build_info',
    help: 'Always 1; the labels tell what runs.',
    labelNames: ['version', 'bun'],
    registers,
  }).set({ version, bun: Bun.version }, 1);
  new Gauge({
    name: 'wallet_start_time_seconds',
    help: 'When the service started, in Unix time.',
    registers,
  }).set(Math.round(Date.now() / 1000 - process.uptime()));
  const deaths = new Counter({
    name: 'wallet_worker_deaths_total',
    help: 'Workers that ended without being told to, and were replaced.',
    registers,
  });
  let counted = new Map<number, number>();
  return {
    countDeath: () => deaths.inc(),
    countSpent: () => {
      const before = counted;
      counted = new Map(known().map(({ pid, state }) => [pid, state.cpuSeconds]));
      for (const { name, pid, state } of known()) {
        cpu.inc({ process: name }, Math.max(0, state.cpuSeconds - (before.get(pid) ?? 0)));
      }
    },
  };
}
