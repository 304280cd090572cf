/** Where the metrics are, and what is said when they cannot be there. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { emptyDatabase } from '../helpers/database.ts';
import { endServices, startService } from '../helpers/service.ts';

setDefaultTimeout(60_000);

const DEFAULT_PORT = 9192;

let occupants: { port: number; stop: () => void }[] = [];

/** Another program on a port; on the default one there may be one already. */
function occupy(port: number): number {
  try {
    const socket = { data() {} };
    const other = Bun.listen({ hostname: '127.0.0.1', port, exclusive: true, socket });
    occupants.push({ port: other.port, stop: () => other.stop(true) });
    return other.port;
  } catch {
    return port;
  }
}

beforeAll(() => occupy(DEFAULT_PORT));
afterAll(async () => {
  for (const { stop } of occupants) stop();
  occupants = [];
  await endServices();
});

describe('METRICS_ADDRESS', () => {
  test('by default is done without when it is taken, and the log says so', async () => {
    const variables = { METRICS_ADDRESS: '' };
    const service = await startService({ database: await emptyDatabase(), variables });
    const line = await service.waitFor('METRICS_ADDRESS');
    expect(line.msg).toBe(
      `the default METRICS_ADDRESS 127.0.0.1:${DEFAULT_PORT} is taken: no metrics; set another`,
    );
    await service.listening();
    expect((await service.deposit(1n, 1n)).status).toBe(200);
    service.signal('SIGTERM');
    expect(await service.exit()).toBe(0);
  });

  test('that was chosen is an error when it is taken, or of another machine', async () => {
    const database = await emptyDatabase();
    const metricsPort = occupy(0);
    const taken = await startService({ database, metricsPort });
    const foreign = await startService({
      database,
      variables: { METRICS_ADDRESS: '240.0.0.1:80' },
    });
    expect(await Promise.all([taken.exit(), foreign.exit()])).toEqual([1, 1]);
    const why = 'is in use by another program: set another';
    expect(taken.stderr).toBe(`METRICS_ADDRESS 127.0.0.1:${metricsPort} ${why}\n`);
    expect(foreign.stderr).toMatch(/^METRICS_ADDRESS 240\.0\.0\.1:80 .*: set another\n$/);
    expect([...taken.processes(), ...foreign.processes()]).toEqual([]);
  });

  test.each([
    ['127.0.0.1:18192', '127.0.0.1:18192'],
    [':18192', '127.0.0.1:18192'],
    ['127.0.0.1:18192', '0.0.0.0:18192'],
    ['localhost:18192', '127.0.0.1:18192'],
  ])('beside APP_ADDRESS %s must not be %s', async (app, metrics) => {
    const variables = { APP_ADDRESS: app, METRICS_ADDRESS: metrics };
    const service = await startService({ database: await emptyDatabase(), variables });
    expect(await service.exit()).toBe(2);
    expect(service.stderr).toBe('METRICS_ADDRESS: must have another port than APP_ADDRESS\n');
  });
});
