/** What the log tells of trouble: a line when it begins and a line when it has ended. */
import { expect, test } from 'bun:test';
import type { Pulse } from '../../src/metrics/pulse.ts';
import { watchTroubles } from '../../src/metrics/troubles.ts';
import { recordingLogger } from '../helpers/logger.ts';

const fine: Pulse = {
  at: 0,
  operations: 0,
  statuses: { 503: 0 },
  p50: null,
  p99: null,
  batch: null,
  flight: null,
  queue: 0,
  queueLimit: 10,
  resends: 0,
  isDatabaseUp: true,
  processes: [],
};

const hanging = {
  name: 'worker-1',
  pid: 7,
  cpu: null,
  state: { residentBytes: 1, cpuSeconds: 1, lagSeconds: 2.5 },
};

const cases: [string, Partial<Pulse>, string, string][] = [
  [
    'a database that is away',
    { isDatabaseUp: false },
    'the database does not answer',
    'the database answers again',
  ],
  [
    'refusals',
    { statuses: { 503: 0.5 } },
    'requests are answered with 503',
    'requests are no longer answered with 503',
  ],
  [
    'a process that hangs',
    { processes: [hanging] },
    'a process hangs',
    'no process hangs any more',
  ],
];

test.each(cases)('of %s the log has its beginning and its end', (_, trouble, begins, ends) => {
  const { logger, lines } = recordingLogger();
  const watch = watchTroubles(logger);
  const see = (pulse: Partial<Pulse>, times: number) => {
    for (let i = 0; i < times; i += 1) watch({ ...fine, ...pulse });
    return lines.map(({ msg }) => msg);
  };
  expect(see({}, 20)).toEqual([]);
  expect(see(trouble, 5)).toEqual([begins]);
  expect(see({}, 9)).toEqual([begins]);
  expect(see(trouble, 1)).toEqual([begins]);
  expect(see({}, 9)).toEqual([begins]);
  expect(see({}, 1)).toEqual([begins, ends]);
  expect(see(trouble, 1)).toEqual([begins, ends, begins]);
});
