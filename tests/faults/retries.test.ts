/**
 * Callers that send each operation with a key, again and again until it is decided, while what
 * serves them is killed and cut off: each key is applied or refused exactly once, and all that were
 * told about it were told the same.
 */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { emptyDatabase } from '../helpers/database.ts';
import { endServices, startService, type TestService, until } from '../helpers/service.ts';
import { type DatabaseProxy, startProxy } from './proxy.ts';
import { expectDecided, expectTrue, SCENARIO_TIMEOUT_MS, underLoad } from './scenario.ts';
import { databaseOf, postmasterOf, recovered, strike, succeeded } from './service-processes.ts';

setDefaultTimeout(SCENARIO_TIMEOUT_MS);

const WORKERS = 2;

/** So short that callers get 503 while the database is away, and have to come again. */
const hasty = { REQUEST_TIMEOUT_MS: '300', ATTEMPT_TIMEOUT_MS: '200', WORKERS: String(WORKERS) };

const proxies: DatabaseProxy[] = [];
afterAll(async () => {
  await endServices();
  await Promise.all(proxies.map((proxy) => proxy.stop()));
});

const start = async (options: Parameters<typeof startService>[0] = {}) =>
  (await startService({ variables: hasty, ...options })).listening();

const killWorker = async (service: TestService, round: number) => {
  const victim = strike(service.workers()[round % WORKERS], 'SIGKILL');
  await succeeded(victim, () => service.workers());
  await until(() => service.workers().length === WORKERS, 'all workers', 20_000);
};

const killPostgres = async (service: TestService) => {
  const old = strike(postmasterOf(service), 'SIGKILL');
  await succeeded(old, () => [postmasterOf(service) ?? old]);
  await recovered(service);
};

describe.skipIf(process.platform !== 'linux')('keys are decided once while', () => {
  test.each([
    ['a worker is killed', killWorker],
    ['PostgreSQL is killed', killPostgres],
  ])('%s', async (_, fault) => {
    const service = await start();
    const callers = await underLoad(service, (round) => fault(service, round), {
      areStubborn: true,
    });
    await expectTrue(callers, await databaseOf(service), ['failed', 'key_reused']);
    expectDecided(callers);
  });

  test('connections to the database are cut, and the deadline passes', async () => {
    const target = await emptyDatabase();
    const proxy = await startProxy(target);
    proxies.push(proxy);
    const service = await start({ database: proxy.address });
    const fault = async () => {
      for (const moment of ['before', 'after', 'after'] as const) {
        await proxy.cutAll(moment);
        await sleep(50);
      }
      // What is in the air is committed, and the callers hear of it only by their keys.
      await proxy.freezeBehindFlight();
      await sleep(2 * Number(hasty.REQUEST_TIMEOUT_MS));
      proxy.thaw();
      await recovered(service);
    };
    const callers = await underLoad(service, fault, { areStubborn: true });
    await expectTrue(callers, target, ['failed', 'key_reused', 'cut']);
    expectDecided(callers);
    expect(callers.count('outcome_unknown')).toBeGreaterThan(0);
  });
});
