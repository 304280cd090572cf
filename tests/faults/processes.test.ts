/**
 * Processes of a real service under load: killed, stopped, frozen, and started again. Afterwards
 * every answer is true, and where the database was back within the deadline nobody got a 5xx.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { connect, type Sql } from '../../src/database/connection.ts';
import { endServices, startService, type TestService, until } from '../helpers/service.ts';
import { expectTrue, SCENARIO_TIMEOUT_MS, underLoad } from './scenario.ts';
import {
  databaseOf,
  freeze,
  freezePostgres,
  postmasterOf,
  recovered,
  strike,
  succeeded,
} from './service-processes.ts';

setDefaultTimeout(SCENARIO_TIMEOUT_MS);

/** Shorter than the freezes below, so that these lose attempts. */
const ATTEMPT_TIMEOUT_MS = 1000;

const FREEZE_MS = 3000;

const WORKERS = 2;
const FLIGHT_SLOTS = 2;

const NO_5XX = ['not_applied', 'outcome_unknown', 'failed'] as const;

let service: TestService;

async function start(again: { port?: number; dataDirectory?: string } = {}): Promise<void> {
  const variables = Object.entries({ ATTEMPT_TIMEOUT_MS, WORKERS, FLIGHT_SLOTS });
  const texts = variables.map(([name, value]) => [name, String(value)]);
  service = await startService({ ...again, variables: Object.fromEntries(texts) });
  await service.listening();
}

const timesSentAgain = () => service.logged('sending again').length;

async function withDatabase(work: (sql: Sql) => Promise<void>): Promise<void> {
  const sql = connect(await databaseOf(service), { max: 2, name: 'wallet-test-fault' });
  try {
    await work(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

const onLinux = describe.skipIf(process.platform !== 'linux');

beforeAll(() => start());
afterAll(endServices);

onLinux('under load', () => {
  test('a kill -9 of a worker loses its connections and nothing else', async () => {
    const callers = await underLoad(service, async (round) => {
      const victim = strike(service.workers()[round % WORKERS], 'SIGKILL');
      await succeeded(victim, () => service.workers());
      await until(() => service.workers().length === WORKERS, 'all workers', 20_000);
    });
    await expectTrue(callers, await databaseOf(service), [...NO_5XX]);
    expect(callers.count('cut')).toBeGreaterThan(0);
  });

  test('a kill -9 of the supervisor and a new start lose connections, nothing else', async () => {
    const callers = await underLoad(service, async () => {
      service.signal('SIGKILL');
      const { port, dataDirectory } = service;
      await start({ port, dataDirectory });
    });
    await expectTrue(callers, await databaseOf(service), ['failed']);
    expect(callers.count('cut')).toBeGreaterThan(0);
  });

  test('a worker that freezes with flights in the air answers them when it wakes', () =>
    withDatabase(async (sql) => {
      const waiting = () => sql`
        select from pg_stat_activity
        where application_name = 'wallet-flight' and cardinality(pg_blocking_pids(pid)) > 0`;
      const all = async () => (await waiting()).length === WORKERS * FLIGHT_SLOTS;
      const callers = await underLoad(service, async (round, load) => {
        let frozen = Promise.resolve();
        await sql.begin(async (holder) => {
          // Every flight of both workers comes to wait for this lock.
          await holder`lock table operations in access exclusive mode`;
          await until(all, 'all flights to wait');
          frozen = freeze(service.workers()[round % WORKERS], 2 * ATTEMPT_TIMEOUT_MS);
        });
        const answered = load.count('ok');
        await frozen;
        // The other worker went on.
        expect(load.count('ok')).toBeGreaterThan(answered);
        await recovered(service);
      });
      await expectTrue(callers, await databaseOf(service), [...NO_5XX, 'cut']);
    }));
});

onLinux('a pause and no error is', () => {
  async function expectPause(fault: () => Promise<unknown>): Promise<void> {
    const before = timesSentAgain();
    const callers = await underLoad(service, async () => {
      await fault();
      await recovered(service);
    });
    await expectTrue(callers, await databaseOf(service), [...NO_5XX, 'cut']);
    expect(timesSentAgain()).toBeGreaterThan(before);
  }

  test.each([
    ['kill -9', 'SIGKILL'],
    ['fast restart', 'SIGINT'],
  ] as const)('a %s of PostgreSQL', (_, signal) =>
    expectPause(async () => {
      const old = strike(postmasterOf(service), signal);
      await succeeded(old, () => [postmasterOf(service) ?? old]);
    }),
  );

  test('a kill -9 of one of its processes', () =>
    withDatabase((sql) =>
      expectPause(async () => {
        let pid: number | undefined;
        const find = async () => {
          const [backend] = await sql<{ pid: number }[]>`
            select pid from pg_stat_activity where application_name = 'wallet-flight' limit 1`;
          pid = backend?.pid;
          return pid !== undefined;
        };
        // Until the recovery from the round before is over, it is not answered.
        await until(() => find().catch(() => false), 'a backend');
        strike(pid, 'SIGKILL');
      }),
    ));

  test('a PostgreSQL that stands still for 3 s', () =>
    expectPause(() => freezePostgres(service, FREEZE_MS)));
});
