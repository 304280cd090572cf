/** What is made of two looks at the sums of a service: the second between them. */
import { describe, expect, test } from 'bun:test';
import { addLoadGauges } from '../../src/metrics/load-gauges.ts';
import { Meter } from '../../src/metrics/meter.ts';
import { type Look, type Pulse, pulseBetween } from '../../src/metrics/pulse.ts';
import type { NamedProcess } from '../../src/metrics/service-gauges.ts';

const WALLETS = '/api/v1/wallets';

interface Second {
  /** What happened before it. */
  earlier?: (meter: Meter) => void;
  /** What happens within. */
  now?: (meter: Meter) => void;
  milliseconds?: number;
  processes?: [NamedProcess[], NamedProcess[]];
}

/** The pulse of a worker in which this happens. */
async function pulseOf({ earlier, now, milliseconds = 1000, processes }: Second): Promise<Pulse> {
  const meter = new Meter();
  const queue = (name: string, length: number) => ({ name, length, limit: 10 });
  const queues = [queue('operations', 3), queue('balances', 7), queue('journal', 0)];
  addLoadGauges(meter.registry, () => ({ queues, connections: [] }));
  const look = async (at: number, all: NamedProcess[]): Promise<Look> => {
    // As it comes over the channel: what is counted later does not change it.
    const metrics = structuredClone(await meter.registry.getMetricsAsJSON());
    return { at, metrics, isDatabaseUp: true, processes: all };
  };
  const [then = [], today = []] = processes ?? [];
  earlier?.(meter);
  const before = await look(5000, then);
  now?.(meter);
  return pulseBetween(before, await look(5000 + milliseconds, today));
}

const requests = (seconds: number, times = 1, route = WALLETS) => {
  return (meter: Meter) => {
    for (let time = 0; time < times; time += 1) meter.request(route, 200, seconds);
  };
};

describe('quantiles', () => {
  /** What happens, and p50 and p99 in seconds: interpolated between a bucket's bounds. */
  const cases: [string, ((meter: Meter) => void)[], number | null, number | null][] = [
    ['of nothing are unknown', [], null, null],
    ['of one request lie in its bucket', [requests(0.0015)], 0.0015, 0.00199],
    ['of the fastest begin at zero', [requests(0.0004, 100)], 0.00025, 0.000495],
    ['count a bound as within', [requests(0.001, 4)], 0.00075, 0.000995],
    [
      'tell 2 slow ones of 100',
      [requests(0.0004, 98), requests(3, 2)],
      (0.0005 * 50) / 98,
      2 + (5 - 2) / 2,
    ],
    ['tell 1 ms from 10 s', [requests(0.0009), requests(9)], 0.001, 5 + 5 * 0.98],
    ['beyond the last bound are that', [requests(100)], 20, 20],
    ['look over all API routes', [requests(0.0015, 1, `${WALLETS}/:id`)], 0.0015, 0.00199],
    ['leave probes and pages out', [requests(1, 9, '/livez'), requests(1, 9, '/')], null, null],
  ];

  test.each(cases)('%s', async (_, events, p50, p99) => {
    const now = (meter: Meter) => {
      for (const event of events) event(meter);
    };
    // What was before must not matter.
    for (const earlier of [undefined, requests(0.3, 1000)]) {
      const pulse = await pulseOf({ now, ...(earlier ? { earlier } : {}) });
      for (const [found, wanted] of [
        [pulse.p50, p50],
        [pulse.p99, p99],
      ] as const) {
        if (wanted === null) expect(found).toBeNull();
        else expect(found).toBeCloseTo(wanted, 9);
      }
    }
  });
});

describe('rates', () => {
  const happen = (meter: Meter) => {
    for (let time = 0; time < 6; time += 1) meter.operation('DEPOSIT', 'ok');
    for (let time = 0; time < 4; time += 1) meter.operation('WITHDRAW', 'ok');
    meter.operation('WITHDRAW', 'insufficient_funds');
    meter.operation('DEPOSIT', 'replayed');
    meter.request(WALLETS, 200, 0.001);
    meter.request('/livez', 200, 0.001);
    meter.request(WALLETS, 400, 0.001);
    meter.landed(8, 0.0015);
    meter.landed(2, 0.0015);
    meter.resent('lost');
    meter.resent('refused');
  };

  test.each([
    [1000, 1],
    [2000, 2],
    [500, 0.5],
  ])('over %i ms are those of a second', async (milliseconds, seconds) => {
    const pulse = await pulseOf({ earlier: happen, now: happen, milliseconds });
    expect(pulse).toMatchObject({
      at: 5000 + milliseconds,
      operations: 10 / seconds,
      statuses: { 200: 2 / seconds, 400: 1 / seconds },
      resends: 2 / seconds,
      batch: 5,
    });
    expect(pulse.flight).toBeCloseTo(0.0015, 9);
  });

  test('of an idle second are zero, and what has no value is null', async () => {
    expect(await pulseOf({ earlier: happen })).toEqual({
      at: 6000,
      operations: 0,
      statuses: { 200: 0, 400: 0, 500: 0, 503: 0 },
      p50: null,
      p99: null,
      batch: null,
      flight: null,
      queue: 7,
      queueLimit: 10,
      resends: 0,
      isDatabaseUp: true,
      processes: [],
    });
  });
});

test('the processor time of a process is that since the last look, if it was there', async () => {
  const one = (pid: number, cpuSeconds: number): NamedProcess => {
    return { name: 'worker-1', pid, state: { cpuSeconds, residentBytes: 1, lagSeconds: 0 } };
  };
  const unknown: NamedProcess = { name: 'worker-3', pid: 3, state: undefined };
  const processes: Second['processes'] = [
    [one(1, 10), unknown],
    [one(1, 10.5), one(2, 9), unknown],
  ];
  const pulse = await pulseOf({ processes, milliseconds: 2000 });
  expect(pulse.processes.map(({ cpu }) => cpu)).toEqual([0.25, null, null]);
});
