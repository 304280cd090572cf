/**
 * The log of the whole service: what its lines look like, and what is never in them.
 * The test server lets everybody in, but the service has the password wherever it would need it.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { projectRoot } from '../src/config.ts';
import { connect, type Sql } from '../src/database/connection.ts';
import type { ServerAddress } from '../src/server-address.ts';
import { refusalText, WALLETS } from './helpers/app.ts';
import { emptyDatabase, freshWalletId } from './helpers/database.ts';
import { endServices, freePort, startService, type TestService, until } from './helpers/service.ts';

setDefaultTimeout(30_000);

const SECRET = 'sEcr3t-p%40ss';

let service: TestService;
/** A client of its database. */
let sql: Sql;

async function lockedDatabase(): Promise<ServerAddress> {
  return { ...(await emptyDatabase()), password: SECRET };
}

beforeAll(async () => {
  const database = await lockedDatabase();
  sql = connect(database, { max: 1, name: 'wallet-test-log' });
  service = await startService({ database, variables: { LOG_LEVEL: 'debug' } });
  await service.listening();
});

afterAll(async () => {
  await sql.end({ timeout: 0 });
  await endServices();
});

test('has no line per request, whatever the answer is', async () => {
  const before = service.stdout;
  for (let at = 0; at < 10; at += 1) {
    const statuses = await Promise.all([
      service.deposit(freshWalletId(), 1n),
      service.deposit(0n, 1n),
      service.request(`${WALLETS}/${freshWalletId()}`),
      service.request('/nowhere'),
      service.request(WALLETS),
      service.request('/livez'),
      service.request('/swagger/json'),
    ]);
    expect(statuses.map(({ status }) => status)).toEqual([200, 400, 404, 404, 405, 200, 200]);
  }
  expect(service.stdout).toBe(before);
});

test('tells of a bug in full, and the client nothing', async () => {
  const id = freshWalletId();
  await service.deposit(id, 1n);
  await sql.unsafe('alter table wallets rename to elsewhere');
  const answer = await service.request(`${WALLETS}/${id}`);
  await sql.unsafe('alter table elsewhere rename to wallets');
  expect(answer).toEqual({ status: 500, text: refusalText('internal error') });
  await service.waitFor('request failed');
  const [line] = service.logged('request failed');
  expect(line).toMatchObject({ level: 50, role: 'worker', method: 'GET' });
  expect(JSON.stringify(line)).toContain('relation \\"wallets\\" does not exist');
});

describe('a whole life', () => {
  test('is told in JSON lines, without the password', async () => {
    const variables = { LOG_LEVEL: 'debug', DRAIN_MS: '100' };
    const database = await lockedDatabase();
    const other = await startService({ database, variables });
    await other.listening();
    await sql`
      select pg_terminate_backend(pid) from pg_stat_activity where datname = ${database.name}`;
    const [worker = 0] = other.workers();
    process.kill(worker, 'SIGKILL');
    await until(async () => other.logged('a worker died').length > 0, 'the death of a worker');
    await until(() => other.workers().length === 2, 'another worker');
    other.signal('SIGTERM');
    expect(await other.exit(5000)).toBe(0);

    const lines = other.logged();
    const messages = lines.map(({ msg }) => msg);
    expect(messages).toContain('migrated the database');
    expect(messages.at(-1)).toBe('stopped');
    for (const line of lines) {
      expect(line).toMatchObject({ pid: expect.any(Number), level: expect.any(Number) });
      expect(['supervisor', 'worker']).toContain(line.role);
      expect(new Date(line.time as string).getTime()).toBeWithin(Date.now() - 60_000, Date.now());
    }
    expect(other.stdout + other.stderr).not.toContain(SECRET);
    expect(service.stdout + service.stderr).not.toContain(SECRET);
  });

  test('that fails at the start says why, without password or connection string', async () => {
    const url = `postgres://someone:${encodeURIComponent(SECRET)}@127.0.0.1:${freePort()}/money`;
    const variables = { DATABASE_URL: url, DB_START_TIMEOUT_MS: '1000', LOG_LEVEL: 'debug' };
    const other = await startService({ variables });
    expect(await other.exit(5000)).toBe(1);
    expect(other.stderr).toContain('as user "someone" did not answer in 1000 ms');
    for (const secret of [SECRET, encodeURIComponent(SECRET), 'postgres://']) {
      expect(other.stdout + other.stderr).not.toContain(secret);
    }
  });
});

test.if(Bun.which('script') !== null)('is readable text on a terminal', async () => {
  const log = `import { createLogger } from './src/log.ts';
    createLogger('supervisor', 'info').info({ workers: 2 }, 'listening')`;
  const words = [process.execPath, '-e', log].map((word) => Bun.$.escape(word)).join(' ');
  const child = Bun.spawn(['script', '--quiet', '--command', words, '/dev/null'], {
    cwd: projectRoot,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const text = await child.stdout.text();
  expect(text).toContain('listening');
  expect(text).toContain('workers');
  expect(text).not.toContain('{');
});
