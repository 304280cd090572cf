/**
 * The numbers while processes die, hang and are away: counters never go down, what an orderly end
 * could tell is there to the last operation, and a scrape never waits.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../../src/database/connection.ts';
import {
  databaseOf,
  freeze,
  freezePostgres,
  recovered,
  strike,
  succeeded,
} from '../faults/service-processes.ts';
import { Callers } from '../helpers/callers.ts';
import { endServices, startService, type TestService, until } from '../helpers/service.ts';
import { read, type Sample, scrape, settle, sumOf } from './scrape.ts';

setDefaultTimeout(120_000);

const WORKERS = 3;
const CALLERS = 12;
const QUEUE_MAX = 10_000;

/** A worker reports every second, and a busy machine may keep it from that for another. */
const UNREPORTED_MS = 2000;

let service: TestService;

beforeAll(async () => {
  service = await (await startService({ variables: { WORKERS: String(WORKERS) } })).listening();
});
afterAll(endServices);

const callersOn = ({ port }: TestService) =>
  new Callers({ urls: [`http://127.0.0.1:${port}`], count: CALLERS });

/** Operations applied, by the word of the metrics and by the journal. */
async function counted(): Promise<{ metrics: number; journal: number }> {
  await settle(service);
  const sql = connect(await databaseOf(service), { max: 1, name: 'wallet-test-metrics' });
  const [row] = await sql<{ count: number }[]>`select count(*)::int as count from operations`;
  await sql.end({ timeout: 1 });
  const metrics = await read(service, 'wallet_operations_total', { outcome: 'ok' });
  return { metrics: metrics ?? 0, journal: row?.count ?? 0 };
}

const isCounter = ({ name }: Sample) => /_(total|count|sum|bucket)$/.test(name);

/** Scrapes again and again until it is told to stop. @returns what was less than before. */
function watchCounters(): () => Promise<string[]> {
  const falls: string[] = [];
  let isStopped = false;
  const watch = async () => {
    let before = new Map<string, number>();
    while (!isStopped) {
      const samples = (await scrape(service)).filter(isCounter);
      const now = new Map(
        samples.map(({ name, labels, value }) => [`${name} ${JSON.stringify(labels)}`, value]),
      );
      for (const [series, value] of before) {
        const next = now.get(series) ?? Number.NaN;
        // Of a sum of seconds the last digits depend on who adds up first.
        if (!(next >= value * (1 - 1e-12))) falls.push(`${series}: ${value}, then ${next}`);
      }
      before = now;
      await sleep(50);
    }
  };
  const watching = watch();
  return () => {
    isStopped = true;
    return watching.then(() => falls);
  };
}

const onLinux = describe.skipIf(process.platform !== 'linux');

/** The gauges of the dead are gone, and those of all living are there. */
async function expectGaugesOfTheLiving(): Promise<void> {
  const limit = () => read(service, 'wallet_queue_limit', { queue: 'operations' });
  await until(async () => (await limit()) === QUEUE_MAX * WORKERS, 'the gauges of the living');
}

onLinux('counters', () => {
  test('never go down, and lose at most the last second of a worker that is killed', async () => {
    const before = await counted();
    const deaths = (await read(service, 'wallet_worker_deaths_total')) as number;
    const stopWatching = watchCounters();
    const callers = callersOn(service);
    const kills: number[] = [];
    try {
      for (let round = 0; round < 3; round += 1) {
        await sleep(1.5 * UNREPORTED_MS);
        kills.push(performance.now());
        const killed = strike(service.workers()[0], 'SIGKILL');
        await succeeded(killed, () => service.workers());
      }
    } finally {
      await callers.stop();
    }
    const after = await counted();
    expect(await stopWatching()).toEqual([]);
    const isUnreported = (ended: number) =>
      kills.some((at) => ended < at + 100 && ended > at - UNREPORTED_MS);
    const unreported = callers.posts.filter(({ ended }) => isUnreported(ended)).length + CALLERS;
    const lost = after.journal - before.journal - (after.metrics - before.metrics);
    expect(lost).toBeGreaterThanOrEqual(0);
    expect(lost).toBeLessThanOrEqual(unreported);
    expect(await read(service, 'wallet_worker_deaths_total')).toBe(deaths + kills.length);
    await expectGaugesOfTheLiving();
  });

  test('have everything that a worker counted which was told to end', async () => {
    const before = await counted();
    const stopWatching = watchCounters();
    const callers = callersOn(service);
    try {
      for (let round = 0; round < 3; round += 1) {
        await sleep(700);
        const told = strike(service.workers()[0], 'SIGTERM');
        await succeeded(told, () => service.workers().slice(0, 1));
        await until(() => !service.workers().includes(told), 'its end', 20_000);
      }
    } finally {
      await callers.stop();
    }
    const after = await counted();
    expect(after.metrics - before.metrics).toBe(after.journal - before.journal);
    expect(after.metrics - before.metrics).toBeGreaterThan(100);
    expect(await stopWatching()).toEqual([]);
    await expectGaugesOfTheLiving();
  });
});

onLinux('a scrape', () => {
  test('is answered at once while all workers hang, and shows that they do', async () => {
    await settle(service);
    const workers = service.workers();
    const thawed = workers.map((pid) => freeze(pid, 5000));
    const lag = async (process: string) =>
      sumOf(await scrape(service), 'wallet_process_event_loop_lag_seconds', { process }) ?? 0;
    for (const name of ['worker-1', 'worker-2', 'worker-3']) {
      await until(async () => (await lag(name)) > 2, `the lag of ${name}`, 4500);
    }
    expect(await lag('supervisor')).toBeLessThan(2);
    await Promise.all(thawed);
    for (const name of ['worker-1', 'worker-2', 'worker-3']) {
      await until(async () => (await lag(name)) < 1, `${name} at work`);
    }
  });

  test('is answered at once while the database is away, and says so', async () => {
    await recovered(service);
    await settle(service);
    expect(await read(service, 'wallet_database_up')).toBe(1);
    const resends = (await read(service, 'wallet_flight_resends_total')) as number;
    const callers = callersOn(service);
    const thawed = freezePostgres(service, 7000);
    const isUp = async () => (await read(service, 'wallet_database_up')) === 1;
    await until(async () => !(await isUp()), 'the database to be away', 6500);
    await thawed;
    await until(isUp, 'the database to be up');
    await callers.stop();
    await settle(service);
    expect(await read(service, 'wallet_flight_resends_total')).toBeGreaterThan(resends);
  });

  test('is answered within a second under overload', async () => {
    const crowd = Array.from({ length: 40 }, () => callersOn(service));
    try {
      for (const end = Date.now() + 4000; Date.now() < end; ) await scrape(service);
    } finally {
      await Promise.all(crowd.map((callers) => callers.stop()));
    }
    expect(crowd.reduce((sum, callers) => sum + callers.count('ok'), 0)).toBeGreaterThan(1000);
  });
});
