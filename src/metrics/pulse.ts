/**
 * The service second by second, as people look at it: rates and quantiles out of sums.
 * Invariant: a pulse tells of the time between two looks, and nothing before.
 */
import type { Metrics } from './collector.ts';
import type { NamedProcess } from './service-gauges.ts';

export interface Pulse {
  /** In milliseconds of `Date.now()`. */
  at: number;
  /** Applied, per second. */
  operations: number;
  /** Answers per second by HTTP status. */
  statuses: Record<string, number>;
  /** Seconds that half, and all but one of a hundred, API requests took at most; null without. */
  p50: number | null;
  p99: number | null;
  /** Operations to a flight, on average, and the seconds that half the flights took at most. */
  batch: number | null;
  flight: number | null;
  /** Calls that wait in the fullest queue, and how many may. */
  queue: number;
  queueLimit: number;
  /** Flights sent again, per second. */
  resends: number;
  isDatabaseUp: boolean;
  processes: (NamedProcess & { cpu: number | null })[];
}

type Labels = Record<string, string | number>;

type Sample = { value: number; labels: Labels; metricName?: string };

/** All that is needed of one look. */
export interface Look {
  at: number;
  metrics: Metrics;
  isDatabaseUp: boolean;
  processes: NamedProcess[];
}

/** What happened from one look to the next. */
export function pulseBetween(before: Look, after: Look): Pulse {
  const seconds = Math.max((after.at - before.at) / 1000, 0.001);
  const grown = (name: string, where?: (labels: Labels) => boolean) =>
    total(after, name, where) - total(before, name, where);
  const perSecond = (...of: Parameters<typeof grown>) => grown(...of) / seconds;
  const statuses = samples(after, 'wallet_http_requests_total').map(({ labels }) => labels.status);
  const isApi = ({ route }: Labels) => String(route).startsWith('/api/');
  const requests = buckets(before, after, 'wallet_http_request_duration_seconds', isApi);
  const flights = grown('wallet_flight_operations_count');
  return {
    at: after.at,
    operations: perSecond('wallet_operations_total', ({ outcome }) => outcome === 'ok'),
    statuses: Object.fromEntries(
      [...new Set(statuses)].map((status) => [
        String(status),
        perSecond('wallet_http_requests_total', (labels) => labels.status === status),
      ]),
    ),
    p50: quantile(0.5, requests),
    p99: quantile(0.99, requests),
    batch: flights > 0 ? grown('wallet_flight_operations_sum') / flights : null,
    flight: quantile(0.5, buckets(before, after, 'wallet_flight_duration_seconds')),
    ...fullestQueue(after),
    resends: perSecond('wallet_flight_resends_total'),
    isDatabaseUp: after.isDatabaseUp,
    processes: after.processes.map((one) => ({ ...one, cpu: cpuOf(one, before, seconds) })),
  };
}

function fullestQueue(look: Look): Pick<Pulse, 'queue' | 'queueLimit'> {
  const queues = samples(look, 'wallet_queue_length').map(({ labels, value }) => ({
    queue: value,
    queueLimit: total(look, 'wallet_queue_limit', ({ queue }) => queue === labels.queue),
  }));
  const fullest = queues.sort((one, other) => other.queue - one.queue)[0];
  return fullest ?? { queue: 0, queueLimit: 0 };
}

/** The share of one processor; null for a process that was not there before. */
function cpuOf({ pid, state }: NamedProcess, before: Look, seconds: number): number | null {
  const then = before.processes.find((one) => one.pid === pid)?.state;
  return state && then ? (state.cpuSeconds - then.cpuSeconds) / seconds : null;
}

/** The samples of a series; those of a histogram are named as it is shown, `…_bucket`. */
function samples({ metrics }: Look, name: string): Sample[] {
  const metric = metrics.find((one) => name === one.name || name.startsWith(`${one.name}_`));
  const values = (metric?.values ?? []) as Sample[];
  return values.filter(({ metricName }) => (metricName ?? metric?.name) === name);
}

function total(look: Look, name: string, where: (labels: Labels) => boolean = () => true) {
  const chosen = samples(look, name).filter(({ labels }) => where(labels));
  return chosen.reduce((sum, { value }) => sum + value, 0);
}

/** A histogram's upper bounds, ascending, each with what came at or below it meanwhile. */
type Buckets = { bound: number; count: number }[];

function buckets(
  before: Look,
  after: Look,
  name: string,
  where: (labels: Labels) => boolean = () => true,
): Buckets {
  const counts = new Map<number, number>();
  const add = (look: Look, sign: number) => {
    const chosen = samples(look, `${name}_bucket`).filter(({ labels }) => where(labels));
    for (const { labels, value } of chosen) {
      const bound = labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le);
      counts.set(bound, (counts.get(bound) ?? 0) + sign * value);
    }
  };
  add(after, 1);
  add(before, -1);
  return [...counts]
    .map(([bound, count]) => ({ bound, count }))
    .sort((one, other) => one.bound - other.bound);
}

/** Interpolated within its bucket, as Prometheus' histogram_quantile does. */
function quantile(share: number, all: Buckets): number | null {
  const count = all.at(-1)?.count ?? 0;
  if (count <= 0) return null;
  const rank = share * count;
  const at = all.findIndex((bucket) => bucket.count >= rank);
  const [lower, bucket] = [all[at - 1], all[at]];
  if (!bucket) return null;
  const start = lower?.bound ?? 0;
  if (!Number.isFinite(bucket.bound)) return start;
  const inside = bucket.count - (lower?.count ?? 0);
  const part = inside > 0 ? (rank - (lower?.count ?? 0)) / inside : 1;
  return start + (bucket.bound - start) * part;
}
