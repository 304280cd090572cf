/**
 * Connections to real servers with certificates of two CAs: what is encrypted, whom `verify-full`
 * refuses, and what the person who starts the service reads.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { connect } from '../../src/database/connection.ts';
import { classify } from '../../src/database/failure.ts';
import { Line } from '../../src/database/line.ts';
import { waitUntilAnswers } from '../../src/database/readiness.ts';
import type { ServerAddress } from '../../src/server-address.ts';
import type { ServerTls } from '../../src/server-tls.ts';
import { StartError } from '../../src/start-error.ts';
import { temporaryFolder } from '../helpers/database.ts';
import { silentLogger } from '../helpers/logger.ts';
import { endServices, startService, until } from '../helpers/service.ts';
import { endTlsServers, TestCa, TlsServer } from '../helpers/tls-server.ts';

setDefaultTimeout(60_000);

const REQUIRED: ServerTls = { mode: 'require' };
const systemTrust: ServerTls = { mode: 'verify-full' };
const trustOther = async (): Promise<ServerTls> => ({
  mode: 'verify-full',
  ca: await other.text(),
});

const HERE = 'DNS:localhost,IP:127.0.0.1';

let ca: TestCa;
let other: TestCa;
let here: TlsServer;
let elsewhere: TlsServer;
let bare: TlsServer;
/** `verify-full` by the CA that signed the servers. */
let verified: ServerTls;

beforeAll(async () => {
  [ca, other] = await Promise.all([TestCa.make(), TestCa.make()]);
  const pair = await ca.sign(HERE);
  const foreign = await ca.sign('DNS:elsewhere,DNS:localhost.elsewhere,IP:127.0.0.2');
  const servers = [pair, foreign, undefined].map((one) => TlsServer.make(one));
  [here, elsewhere, bare] = (await Promise.all(servers)) as [TlsServer, TlsServer, TlsServer];
  verified = { mode: 'verify-full', caFile: ca.file, ca: await ca.text() };
});
afterAll(async () => {
  await endServices();
  await endTlsServers();
});

/** The version of TLS that a connection has, null in the clear; or the error that it ends with. */
async function versionOf(address: ServerAddress): Promise<string | null | Error> {
  const sql = connect(address, { max: 1, name: 'wallet-test-tls' });
  const asked = sql<{ version: string | null }[]>`
    select version from pg_stat_ssl where pid = pg_backend_pid()`;
  const version = await asked.then(
    ([row]) => row?.version ?? null,
    (error: Error) => error,
  );
  await sql.end({ timeout: 0 });
  return version;
}

/** What a start says, which must not wait for its time limit. */
async function startFails(address: ServerAddress): Promise<string> {
  const sql = connect(address, { max: 1, name: 'wallet-test-tls' });
  const { signal } = new AbortController();
  const started = Date.now();
  const wait = { timeoutMs: 40_000, signal, logger: silentLogger };
  const error = await waitUntilAnswers(sql, wait).catch((thrown: Error) => thrown);
  await sql.end({ timeout: 0 });
  expect(error).toBeInstanceOf(StartError);
  expect(Date.now() - started).toBeLessThan(20_000);
  return (error as Error).message;
}

const hosts = ['localhost', '127.0.0.1'];

describe('a connection', () => {
  test('is in the clear unless asked otherwise', async () => {
    for (const host of hosts) expect(await versionOf(here.address(host))).toBeNull();
  });

  test('is encrypted under require, whoever signed the certificate', async () => {
    for (const host of hosts) {
      expect(await versionOf(here.address(host, { mode: 'require' }))).toBe('TLSv1.3');
      expect(await versionOf(elsewhere.address(host, { mode: 'require' }))).toBe('TLSv1.3');
    }
  });

  test('is encrypted under verify-full by the CA that signed the host’s certificate', async () => {
    for (const host of hosts) expect(await versionOf(here.address(host, verified))).toBe('TLSv1.3');
  });

  const refused = [
    ['a certificate of another CA', async () => here.address('localhost', await trustOther())],
    ['one of another CA, by address', async () => here.address('127.0.0.1', await trustOther())],
    ['a CA that the system does not know', () => here.address('localhost', systemTrust)],
    ['a certificate for another host', () => elsewhere.address('localhost', verified)],
    ['a certificate for another address', () => elsewhere.address('127.0.0.1', verified)],
    ['a server without TLS', () => bare.address('localhost', verified)],
    ['a server without TLS, also under require', () => bare.address('localhost', REQUIRED)],
  ] as const;
  test.each(refused)('is refused with %s', async (_, where) => {
    const address = await where();
    const error = await versionOf(address);
    expect(error).toBeInstanceOf(Error);
    expect(classify(error)).toBe('refused');
    const line = new Line(address, { name: 'wallet-test-tls', attemptTimeoutMs: 10_000 });
    expect((await line.attempt((sql) => sql`select 1`)).kind).toBe('refused');
    await line.close();
  });

  test('never sends the user’s name to a server that is refused', async () => {
    const user = 'never-to-be-sent';
    await versionOf({ ...here.address('localhost', await trustOther()), user });
    await versionOf({ ...elsewhere.address('localhost', verified), user });
    await versionOf({ ...bare.address('localhost', REQUIRED), user });
    const known = { ...here.address('localhost', verified), user: 'to-be-sent' };
    expect(classify(await versionOf(known))).toBe('final');
    await until(() => here.log.includes('"to-be-sent"'), 'the log of a user');
    for (const { log } of [here, elsewhere, bare]) expect(log).not.toContain(user);
  });
});

test('trusts the CA that its address holds by the time it opens', async () => {
  const tls = await trustOther();
  const options = { name: 'wallet-test-tls', attemptTimeoutMs: 10_000 };
  const line = new Line(here.address('localhost', tls), options);
  const kind = async () => (await line.attempt((sql) => sql`select 1`)).kind;
  expect(await kind()).toBe('refused');
  tls.ca = await ca.text();
  expect(await kind()).toBe('answered');
  await line.close();
});

describe('a start says at once', () => {
  test('that a certificate is not trusted', async () => {
    const text = await startFails(here.address('localhost', await trustOther()));
    expect(text).toContain(`at localhost:${here.port} as user "wallet": its certificate is not`);
    expect(text).toEndWith('DB_SSL_CA_FILE must hold the CA that signed it');
  });

  test('that a certificate is for another host', async () => {
    const text = await startFails(elsewhere.address('localhost', verified));
    expect(text).toContain('its certificate is for another host: ');
    expect(text).toEndWith('name the server as its certificate does');
  });

  test('that a server has no TLS', async () => {
    for (const tls of [REQUIRED, verified]) {
      expect(await startFails(bare.address('127.0.0.1', tls))).toEndWith(
        'the server has no TLS: turn on ssl in its postgresql.conf, or set DB_SSL=disable',
      );
    }
  });
});

test('a start waits for a server that is not there yet, and then has its way', async () => {
  const server = await TlsServer.make(await ca.sign(HERE));
  await server.stop();
  const sql = connect(server.address('localhost', verified), { max: 1, name: 'wallet-test-tls' });
  const { signal } = new AbortController();
  const waiting = waitUntilAnswers(sql, { timeoutMs: 40_000, signal, logger: silentLogger });
  await Bun.sleep(700);
  await server.start();
  await waiting;
  await sql.end({ timeout: 1 });
});

describe('the service', () => {
  test('reads DB_SSL and the system’s CAs, and ends with what is wrong', async () => {
    const variables = { DATABASE_URL: urlOf(here, '?sslmode=verify-full') };
    const service = await startService({ variables });
    expect(await service.exit()).toBe(1);
    expect(service.stderr).toContain('its certificate is not trusted: ');
    const trusting = { ...variables, SSL_CERT_FILE: ca.file };
    await (await startService({ variables: trusting })).listening();
  });

  test('serves over TLS, workers included, and survives a restart of its database', async () => {
    const address = here.address('localhost', verified);
    const service = await (await startService({ database: address })).listening();
    expect((await service.deposit(1n, 42n)).status).toBe(200);
    await here.stop();
    const waiting = service.deposit(1n, 42n);
    await here.start();
    expect((await waiting).text).toContain('"amount":84');
    const sql = connect(address, { max: 1, name: 'wallet-test-tls' });
    const clients = await sql<{ name: string; isEncrypted: boolean }[]>`
      select application_name as name, ssl as "isEncrypted"
      from pg_stat_ssl join pg_stat_activity using (pid) where backend_type = 'client backend'`;
    await sql.end({ timeout: 1 });
    expect(clients.map(({ name }) => name)).toContain('wallet-flight');
    expect(clients.filter(({ isEncrypted }) => !isEncrypted)).toEqual([]);
  });

  test('trusts another CA after SIGHUP, unless the file is wrong', async () => {
    const server = await TlsServer.make(await ca.sign(HERE));
    const caFile = join(await temporaryFolder(), 'trusted.pem');
    await writeFile(caFile, await ca.text());
    const database = server.address('localhost', { mode: 'verify-full', caFile });
    const service = await (await startService({ database })).listening();
    const isReady = async () => (await service.request('/readyz')).status === 200;
    expect(await isReady()).toBe(true);
    await server.stop();
    await server.use(await other.sign(HERE));
    await server.start();
    expect(await isReady()).toBe(false);
    await writeFile(caFile, 'nothing of the kind');
    service.signal('SIGHUP');
    await service.waitFor('files are wrong');
    expect(await isReady()).toBe(false);
    await writeFile(caFile, (await ca.text()) + (await other.text()));
    service.signal('SIGHUP');
    await until(isReady, 'a database that is trusted');
    expect((await service.deposit(1n, 42n)).status).toBe(200);
    await rm(dirname(caFile), { recursive: true });
  });
});

const urlOf = ({ port }: TlsServer, parameters: string) =>
  `postgres://wallet@localhost:${port}/wallet${parameters}`;
