/**
 * Waiting for a database: one that comes later, one that never comes, and one that waiting does not
 * help. Listeners of the test stand in for a server that is away, before the real, shared one.
 */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, connect as open, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../../src/database/connection.ts';
import { checkServer, waitUntilAnswers } from '../../src/database/readiness.ts';
import type { ServerAddress } from '../../src/server-address.ts';
import { StartError } from '../../src/start-error.ts';
import { emptyDatabase, temporaryFolder, testDatabase } from '../helpers/database.ts';
import { recordingLogger } from '../helpers/logger.ts';
import { endServices, freePort, startService, until } from '../helpers/service.ts';

setDefaultTimeout(30_000);

let ends: (() => unknown)[] = [];
afterAll(async () => {
  await endServices();
  for (const end of ends.reverse()) await end();
  ends = [];
});

function client(address: ServerAddress) {
  const sql = connect(address, { max: 1, name: 'wallet-test-readiness' });
  ends.push(() => sql.end({ timeout: 0 }));
  return sql;
}

interface Waited {
  error: Error | undefined;
  elapsedMs: number;
  lines: string[];
}

async function wait(address: ServerAddress, timeoutMs: number, stopAfterMs = 0): Promise<Waited> {
  const { logger, lines } = recordingLogger();
  const signal = stopAfterMs ? AbortSignal.timeout(stopAfterMs) : new AbortController().signal;
  const started = Date.now();
  const done = waitUntilAnswers(client(address), { timeoutMs, signal, logger });
  const late = sleep(timeoutMs + 3000, new Error('Bug: it waits for ever'), { ref: false });
  const error = await Promise.race([
    done.then(
      () => undefined,
      (thrown: Error) => thrown,
    ),
    late,
  ]);
  return { error, elapsedMs: Date.now() - started, lines: lines.map(({ msg }) => String(msg)) };
}

/** Listens like a database, and hands each connection on. */
async function listener(where: object, onConnection: (socket: Socket) => void): Promise<void> {
  const server = createServer(onConnection);
  await new Promise<void>((resolve) => server.listen(where, resolve));
  ends.push(() => server.close());
}

/** A listener behind which is the shared server. */
async function doorway(where: object): Promise<void> {
  const { address } = await testDatabase();
  await listener(where, (socket) => {
    const behind = open(join(address.host, `.s.PGSQL.${address.port}`));
    socket.on('error', () => behind.destroy()).on('close', () => behind.destroy());
    behind.on('error', () => socket.destroy());
    socket.pipe(behind).pipe(socket);
  });
}

async function emptySocketFolder(): Promise<ServerAddress> {
  const host = await temporaryFolder();
  ends.push(() => rm(host, { recursive: true }));
  return { ...(await testDatabase()).address, host };
}

describe.concurrent('a database that is not there yet', () => {
  test('is waited for, and one line says so', async () => {
    const address = await emptySocketFolder();
    const coming = sleep(1500).then(() => doorway({ path: join(address.host, '.s.PGSQL.5432') }));
    const { error, elapsedMs, lines } = await wait(address, 10_000);
    await coming;
    expect(error).toBeUndefined();
    expect(elapsedMs).toBeWithin(1500, 4000);
    const where = `database "wallet" at ${address.host}:5432 as user "wallet"`;
    expect(lines).toEqual([`waiting for the ${where}`]);
  });

  test('is given up after the limit with an error that says where it should be', async () => {
    const address = await emptySocketFolder();
    const { error, elapsedMs } = await wait(address, 1000);
    expect(error).toBeInstanceOf(StartError);
    expect(error?.message).toContain(`database "wallet" at ${address.host}:5432 as user "wallet"`);
    expect(error?.message).toContain('did not answer in 1000 ms: connect ENOENT');
    expect(elapsedMs).toBeWithin(500, 2500);
  });

  /** As a proxy is whose database is away. */
  async function closingListener(): Promise<ServerAddress> {
    const { address } = await testDatabase();
    const port = freePort();
    await listener({ port, host: '127.0.0.1' }, (socket) => socket.destroy());
    return { ...address, host: '127.0.0.1', port };
  }

  test('is given up after the limit also where connections are accepted and closed', async () => {
    const { error, elapsedMs } = await wait(await closingListener(), 1000);
    expect(error?.message).toContain('did not answer in 1000 ms');
    expect(elapsedMs).toBeWithin(500, 2500);
  });

  test.each([
    ['nobody listens', 1200, emptySocketFolder],
    ['connections are accepted and closed', 3500, closingListener],
  ])('where %s is waited for with a line, until told to stop', async (_, stopMs, away) => {
    const { error, elapsedMs, lines } = await wait(await away(), 10_000, stopMs);
    expect(error?.name).toBe('AbortError');
    expect(elapsedMs).toBeLessThan(stopMs + 1500);
    expect(lines).toEqual([expect.stringContaining('waiting for the database "wallet" at ')]);
  });

  test('is waited for by a service, which can be stopped while it waits', async () => {
    const real = await emptyDatabase();
    const { host } = await emptySocketFolder();
    const start = () => startService({ database: { ...real, host } });
    const [waiting, stopped] = await Promise.all([start(), start()]);
    await waiting.waitFor('waiting for the database');
    await stopped.waitFor('waiting for the database');
    stopped.signal('SIGTERM');
    expect(await stopped.exit(3000)).toBe(0);
    await doorway({ path: join(host, '.s.PGSQL.5432') });
    await waiting.listening();
    expect((await waiting.request('/readyz')).status).toBe(200);
  });
});

describe('what waiting does not help', () => {
  test('is a missing database, refused at once', async () => {
    const { address } = await testDatabase();
    const { error, elapsedMs, lines } = await wait({ ...address, name: 'missing' }, 10_000);
    expect(error).toBeInstanceOf(StartError);
    expect(error?.message).toEndWith(': database "missing" does not exist');
    expect(elapsedMs).toBeLessThan(1000);
    expect(lines).toEqual([]);
  });

  test('is a wrong password, refused at once and not repeated', async () => {
    const { address, sql } = await testDatabase();
    const user = `locked_${Date.now()}`;
    await sql.unsafe(`create role ${user} login password 'right'`);
    const [{ file } = { file: '' }] = await sql<{ file: string }[]>`
      select current_setting('hba_file') as file`;
    const rules = await readFile(file, 'utf8');
    await writeFile(file, `local all ${user} scram-sha-256\n${rules}`);
    await sql`select pg_reload_conf()`;
    const rule = sql`select 1 from pg_hba_file_rules where ${user} = any(user_name)`;
    expect(await rule).toHaveLength(1);

    const wrong = { ...address, user, password: 'sEcr3t' };
    await until(async () => (await wait(wrong, 100)).error !== undefined, 'the new rule');
    const { error, elapsedMs } = await wait(wrong, 10_000);
    expect(error).toBeInstanceOf(StartError);
    expect(error?.message).toEndWith(`password authentication failed for user "${user}"`);
    expect(elapsedMs).toBeLessThan(1000);
    expect((await wait({ ...wrong, password: 'right' }, 1000)).error).toBeUndefined();
  });
});

test('a service goes to the server of its configuration, whatever PG* variables say', async () => {
  const database = await emptyDatabase();
  const elsewhere = {
    PGHOST: '127.0.0.1',
    PGPORT: '1',
    PGUSER: 'x',
    PGDATABASE: 'x',
    PGSSL: 'true',
  };
  const variables = { ...elsewhere, PGTARGETSESSIONATTRS: 'standby', DB_START_TIMEOUT_MS: '3000' };
  const service = await (await startService({ database, variables })).listening();
  expect((await service.request('/readyz')).status).toBe(200);
  const tables = client(database)`select 1 from pg_tables where tablename = 'wallets'`;
  expect(await tables).toHaveLength(1);
});

test('a server is reached by its IPv6 address, and no other one is', async () => {
  const { address } = await testDatabase();
  const port = freePort();
  let strangers = 0;
  await doorway({ port, host: '::1' });
  await listener({ port, host: '127.0.0.1' }, (socket) => {
    strangers += 1;
    socket.destroy();
  });
  for (const host of ['::1', '0:0:0:0:0:0:0:1']) {
    expect((await wait({ ...address, host, port }, 1000)).error).toBeUndefined();
  }
  expect(strangers).toBe(0);
});

test('more connections than the server admits are an error that names what to change', async () => {
  const { address } = await testDatabase();
  const sql = client(address);
  const [{ admitted } = { admitted: 0 }] = await sql<{ admitted: number }[]>`
    select current_setting('max_connections')::int
      - current_setting('superuser_reserved_connections')::int as admitted`;
  await checkServer(sql, admitted - 5);
  const error: unknown = await checkServer(sql, admitted - 4).catch((thrown) => thrown);
  expect(error).toBeInstanceOf(StartError);
  expect((error as Error).message).toBe(
    `(WORKERS + 1) x (FLIGHT_SLOTS + 3) + 5 is ${admitted + 1} connections, but the server ` +
      `admits ${admitted}: lower WORKERS or FLIGHT_SLOTS, or raise max_connections`,
  );
});
