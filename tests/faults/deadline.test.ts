/**
 * A real PostgreSQL that stands still for longer than the service may take: everybody is answered
 * in time, `not applied` is never applied, and the service recovers by itself.
 */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { endServices, startService } from '../helpers/service.ts';
import { expectTrue, SCENARIO_TIMEOUT_MS, underLoad } from './scenario.ts';
import { databaseOf, freezePostgres, recovered } from './service-processes.ts';

setDefaultTimeout(SCENARIO_TIMEOUT_MS);

const REQUEST_TIMEOUT_MS = 1200;
const ATTEMPT_TIMEOUT_MS = 400;

/** For a machine that has much else to do. */
const MARGIN_MS = 5000;

describe.skipIf(process.platform !== 'linux')('a PostgreSQL that stands still', () => {
  afterAll(endServices);

  test('for longer than the deadline is answered in time and in truth', async () => {
    const variables = Object.entries({ REQUEST_TIMEOUT_MS, ATTEMPT_TIMEOUT_MS });
    const texts = variables.map(([name, value]) => [name, String(value)]);
    const service = await (
      await startService({ variables: Object.fromEntries(texts) })
    ).listening();
    const callers = await underLoad(service, async () => {
      await freezePostgres(service, 2 * REQUEST_TIMEOUT_MS);
      await recovered(service);
    });
    await expectTrue(callers, await databaseOf(service), ['failed', 'cut']);
    expect(callers.count('outcome_unknown')).toBeGreaterThan(0);
    const times = [...callers.posts, ...callers.reads].map(({ began, ended }) => ended - began);
    expect(Math.max(...times)).toBeLessThan(REQUEST_TIMEOUT_MS + MARGIN_MS);
    expect(callers.posts.at(-1)?.answer.kind).not.toBe('not_applied');
  });
});
