/**
 * Gathers what all workers count into the numbers of the service.
 * Invariant: a counter never goes down: what a worker counted stays in the sums when it has ended,
 * so one that is killed takes at most what it counted since its last report along.
 */
import { AggregatorRegistry, type Registry } from 'prom-client';
import type { ProcessState } from './process-watch.ts';

/** What a worker tells of itself, once a second: sums since its start. */
export interface Report {
  metrics: Metrics;
  process: ProcessState;
}

export type Metrics = Awaited<ReturnType<Registry['getMetricsAsJSON']>>;

/** Between two reports of a worker. */
export const REPORT_MS = 1000;

/** The numbers of all workers, present and past. */
export class Collector {
  readonly #reports = new Map<number, Report & { at: number }>();
  #past: Metrics[] = [];

  /** The latest report of a worker, which is known by its process id. */
  report(pid: number, report: Report): void {
    this.#reports.set(pid, { ...report, at: performance.now() });
  }

  /** A worker reports no more: its counters stay, its gauges go. */
  async forget(pid: number): Promise<void> {
    const last = this.#reports.get(pid);
    if (!last) return;
    this.#reports.delete(pid);
    const counters = last.metrics.filter(({ type }) => String(type) !== 'gauge');
    const past = [...this.#past, counters];
    this.#past = past;
    const sums = await AggregatorRegistry.aggregate(past).getMetricsAsJSON();
    // Another may have ended meanwhile; then its sums have ours in them.
    if (this.#past === past) this.#past = [sums];
  }

  /**
   * The state of a worker at its last report. One whose report is overdue has kept at least that
   * waiting, which is how one that hangs is seen.
   */
  processOf(pid: number): ProcessState | undefined {
    const last = this.#reports.get(pid);
    if (!last) return undefined;
    const overdueSeconds = (performance.now() - last.at - REPORT_MS) / 1000;
    return { ...last.process, lagSeconds: Math.max(last.process.lagSeconds, overdueSeconds) };
  }

  /** The sums of all workers. */
  sums(): Registry {
    const present = [...this.#reports.values()].map(({ metrics }) => metrics);
    return AggregatorRegistry.aggregate([...this.#past, ...present]);
  }
}
