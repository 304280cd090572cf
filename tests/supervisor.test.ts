/**
 * The service as its users run it: started, killed in parts, stopped under load, started twice.
 * Money is counted in the database, never taken from the service's word.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { connect as open } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type Sql } from '../src/database/connection.ts';
import { successText, WALLETS } from './helpers/app.ts';
import { emptyDatabase, freshWalletId } from './helpers/database.ts';
import {
  commandOf,
  endServices,
  isFree,
  startService,
  type TestService,
  until,
} from './helpers/service.ts';

setDefaultTimeout(30_000);

/** Runs on a database of its own; no test stops it. */
let first: TestService;
let clients: Sql[] = [];

beforeAll(async () => {
  first = await (await startService()).listening();
});
afterAll(async () => {
  await Promise.all(clients.map((sql) => sql.end({ timeout: 0 })));
  clients = [];
  await endServices();
});

/** A service on the shared server, and a client of its database. */
async function serviceAndSql() {
  const database = await emptyDatabase();
  const sql = connect(database, { max: 2, name: 'wallet-test-supervisor' });
  clients.push(sql);
  return { service: await (await startService({ database })).listening(), sql };
}

/** The sockets that listen on a port, one for each worker. */
function listeners(port: number): number {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 0A`;
  return readFileSync('/proc/net/tcp', 'utf8').split(local).length - 1;
}

function expectGone(service: TestService): void {
  expect(service.processes()).toEqual([]);
  expect(isFree(service.port)).toBe(true);
}

describe('a service that runs', () => {
  test('says where it listens and where the docs are', async () => {
    const url = `http://127.0.0.1:${first.port}`;
    const line = await first.waitFor('listening on');
    expect(line.msg).toBe(`listening on ${url}, docs at ${url}/swagger`);
    expect(line).toMatchObject({ workers: 2, database: 'embedded PostgreSQL', role: 'supervisor' });
    expect((await first.request('/swagger')).status).toBe(200);
    expect(listeners(first.port)).toBe(2);
  });

  test('replaces a worker that is killed, while the other one goes on answering', async () => {
    const [killed = 0, other = 0] = first.workers();
    process.kill(killed, 'SIGKILL');
    const started = Date.now();
    let [failed, silence, answered] = [0, 0, started];
    while (first.workers().length < 2 || listeners(first.port) < 2 || Date.now() < started + 500) {
      if (Date.now() > started + 5000) throw new Error('no worker came in 5 s');
      const { status } = await first.request('/readyz').catch(() => ({ status: 0 }));
      silence = Math.max(silence, Date.now() - answered);
      if (status === 200) answered = Date.now();
      else failed += 1;
    }
    expect(first.workers()).toContain(other);
    expect(first.workers()).not.toContain(killed);
    const line = expect.objectContaining({ worker: killed, signalCode: 'SIGKILL' });
    expect(first.logged('a worker died; replacing it')).toContainEqual(line);
    // The kernel resets what it had queued for the dead one.
    expect(failed).toBeLessThanOrEqual(2);
    expect(silence).toBeLessThan(1000);
  });

  test('does not mix with one on another port and folder, which ends as it came', async () => {
    const second = await (await startService()).listening();
    const id = freshWalletId();
    await first.deposit(id, 1n);
    expect((await second.deposit(id, 2n)).text).toBe(successText(id, 2n));
    expect((await first.request(`${WALLETS}/${id}`)).text).toBe(successText(id, 1n));
    second.signal('SIGTERM');
    expect(await second.exit()).toBe(0);
    expectGone(second);
  });
});

describe.concurrent('a start', () => {
  test('on a port or a folder that is in use is refused, and harms nobody', async () => {
    const { port, dataDirectory } = first;
    const id = freshWalletId();
    await first.deposit(id, 42n);
    const both = await Promise.all([startService({ port }), startService({ dataDirectory })]);
    expect(await Promise.all(both.map((service) => service.exit()))).toEqual([1, 1]);
    const doing = 'stop it, or set another';
    expect(both.map(({ stderr }) => stderr)).toEqual([
      `APP_ADDRESS 127.0.0.1:${port} is in use by another program: ${doing} APP_ADDRESS\n`,
      `DATA_DIR ${dataDirectory} is in use by another wallet service: ${doing} DATA_DIR\n`,
    ]);
    expect((await first.deposit(id, 8n)).text).toBe(successText(id, 50n));
    expect(first.logged('the embedded PostgreSQL ended')).toEqual([]);
  });

  test('on a port that another program shares, or a foreign address, is refused', async () => {
    const answer = () => new Response();
    const other = Bun.serve({ hostname: '127.0.0.1', port: 0, reusePort: true, fetch: answer });
    const shared = await startService({ port: other.port as number });
    const foreign = await startService({ variables: { APP_ADDRESS: '240.0.0.1:80' } });
    expect(await Promise.all([shared.exit(), foreign.exit()])).toEqual([1, 1]);
    expect(shared.stderr).toContain('is in use by another program');
    expect(foreign.stderr).toMatch(/^APP_ADDRESS 240\.0\.0\.1:80 .*\n$/);
    await other.stop(true);
  });

  test('at the very same moment on the same port leaves exactly one', async () => {
    const one = await startService({ database: await emptyDatabase() });
    const other = await startService({ database: await emptyDatabase(), port: one.port });
    expect(await Promise.race([one.exit(10_000), other.exit(10_000)])).toBe(1);
    const [survivor, ...rest] = [one, other].filter((service) => service.workers().length > 0);
    expect(rest).toEqual([]);
    await survivor?.listening();
    expect(listeners(one.port)).toBe(2);
  });

  test('after a killed one, which leaves nothing behind, has the money', async () => {
    const id = freshWalletId();
    const service = await (await startService()).listening();
    const again = { port: service.port, dataDirectory: service.dataDirectory };
    await service.deposit(id, 1n);
    expect(service.processes().length).toBeGreaterThan(3);
    service.signal('SIGKILL');
    await until(() => service.processes().length === 0, 'the end of all processes', 4000);

    const second = await (await startService(again)).listening();
    expect((await second.deposit(id, 1n)).text).toBe(successText(id, 2n));
    const left = second.processes();
    second.signal('SIGKILL');
    const third = await (await startService(again)).listening();
    expect((await third.deposit(id, 1n)).text).toBe(successText(id, 3n));
    expect(left.filter((pid) => existsSync(`/proc/${pid}/exe`))).toEqual([]);
  });

  test('after one that was killed while it made its database makes it anew', async () => {
    const service = await startService();
    const { port, dataDirectory } = service;
    const home = join(dataDirectory, 'postgres');
    const makers = () => service.processes().filter((pid) => commandOf(pid).includes('/initdb'));
    await until(() => makers().length > 0 && readdirSync(home).length > 0, 'initdb to make files');
    service.signal('SIGKILL');
    await until(() => makers().length === 0, 'the end of initdb', 300);
    const next = await (await startService({ port, dataDirectory })).listening();
    expect((await next.request('/readyz')).status).toBe(200);
    expect(readdirSync(home).filter((name) => name.startsWith('cluster'))).toEqual(['cluster']);
  });
});

/** A deposit of 41 on a balance of 1 that waits for a row lock until it is released. */
async function hangingDeposit(service: TestService, sql: Sql) {
  const id = freshWalletId();
  await service.deposit(id, 1n);
  const { promise: released, resolve } = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const lock = sql.begin(async (transaction) => {
    await transaction`select 1 from wallets where id = ${id} for update`;
    held.resolve();
    await released;
  });
  await held.promise;
  const answer = service.deposit(id, 41n).catch((error: Error) => error);
  const blocked = () => sql`
    select 1 from pg_stat_activity where cardinality(pg_blocking_pids(pid)) > 0`;
  await until(async () => (await blocked()).length > 0, 'the deposit to wait');
  const release = () => {
    resolve();
    return lock;
  };
  return { id, answer, release };
}

/** Posts deposits of 1 on a connection that it keeps, until nobody listens any more. */
function keepDepositing(port: number, id: bigint, statuses: string[]): Promise<void> {
  const body = `{"walletID":${id},"operationType":"DEPOSIT","amount":1}`;
  const fields = `Content-Type: application/json\r\nContent-Length: ${body.length}`;
  const request = `POST ${WALLETS} HTTP/1.1\r\nHost: localhost\r\n${fields}\r\n\r\n${body}`;
  const { promise, resolve } = Promise.withResolvers<void>();
  const visit = () => {
    let [waits, refused] = [false, false];
    const send = () => {
      waits = true;
      socket.write(request);
    };
    const socket = open(port, '127.0.0.1', send);
    socket.on('data', (answer) => {
      waits = false;
      const closes = /connection: close/i.test(String(answer));
      statuses.push(String(answer).slice(9, 12) + (closes ? ' farewell' : ''));
      if (closes) socket.end();
      else send();
    });
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      refused = code === 'ECONNREFUSED';
    });
    socket.on('close', () => {
      if (waits) statuses.push('none');
      if (refused) resolve();
      else visit();
    });
  };
  visit();
  return promise;
}

describe('a stop', () => {
  test('answers what was read, however long it takes', async () => {
    const { service, sql } = await serviceAndSql();
    const { id, answer, release } = await hangingDeposit(service, sql);
    service.signal('SIGTERM');
    await sleep(1000);
    await release();
    expect(await answer).toEqual({ status: 200, text: successText(id, 42n) });
    expect(await service.exit(3000)).toBe(0);
    expectGone(service);
  });

  test('is immediate when it is asked for twice', async () => {
    const { service, sql } = await serviceAndSql();
    const { answer, release } = await hangingDeposit(service, sql);
    service.signal('SIGTERM');
    await sleep(600);
    expect(service.workers()).not.toEqual([]);
    service.signal('SIGTERM');
    await service.exit(2000);
    expect(await answer).toBeInstanceOf(Error);
    expectGone(service);
    await release();
  });

  test.each(['SIGTERM', 'Ctrl-C'])('by %s loses no request that was read', async (how) => {
    const { service, sql } = await serviceAndSql();
    const statuses: string[] = [];
    const ids = Array.from({ length: 48 }, (_, at) => BigInt(1 + (at % 8)));
    const visitors = ids.map((id) => keepDepositing(service.port, id, statuses));
    await sleep(800);
    if (how === 'Ctrl-C') service.interrupt();
    else service.signal('SIGTERM');
    expect(await service.exit(5000)).toBe(0);
    await Promise.all(visitors);
    expectGone(service);
    const answered = statuses.filter((status) => status !== 'none');
    expect(new Set(answered)).toEqual(new Set(['200', '200 farewell']));
    // A request without an answer had not been read: it is not in the sum.
    const [row] = await sql`select sum(amount)::int as sum from wallets`;
    expect(row?.sum).toBe(answered.length);
    expect(statuses.length - answered.length).toBeLessThanOrEqual(ids.length);
  });
});
