/**
 * Tells the supervisor once a second what a worker has counted and how it is.
 * Invariant: a report has the sums since the worker's start, so one that is lost is made up for by
 * the next.
 */
import type { LedgerLoad } from './ledger/group-commit-ledger.ts';
import { REPORT_MS } from './metrics/collector.ts';
import { addLoadGauges } from './metrics/load-gauges.ts';
import type { Meter } from './metrics/meter.ts';
import { watchProcess } from './metrics/process-watch.ts';
import { tellSupervisor } from './worker-channel.ts';

/** Begins to report. @returns a function that makes the last report. */
export function startReporting({ registry }: Meter, load: () => LedgerLoad): () => Promise<void> {
  addLoadGauges(registry, load);
  const look = watchProcess();
  const report = async () => {
    const metrics = await registry.getMetricsAsJSON();
    await tellSupervisor({ kind: 'report', report: { metrics, process: look() } });
  };
  const timer = setInterval(report, REPORT_MS);
  return () => {
    clearInterval(timer);
    return report();
  };
}
