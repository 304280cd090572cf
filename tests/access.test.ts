/**
 * The API tokens of the real service: read at start, read again on SIGHUP while requests come in,
 * known to every worker and to those that replace one; and no secret in anything that it says.
 */
import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from 'bun:test';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectRoot, readConfig } from '../src/config.ts';
import { databaseVariables } from '../src/own-database.ts';
import { ReloadedFiles } from '../src/reloaded-files.ts';
import { WALLETS } from './helpers/app.ts';
import { emptyDatabase, freshWalletId, temporaryFolder } from './helpers/database.ts';
import { HttpClient } from './helpers/http-client.ts';
import { recordingLogger } from './helpers/logger.ts';
import {
  endServices,
  freePort,
  isFree,
  startService,
  type TestService,
  until,
} from './helpers/service.ts';
import { newToken } from './helpers/tokens.ts';

setDefaultTimeout(60_000);

const [shop, reports, later] = [
  newToken('shop', 'write'),
  newToken('reports', 'read'),
  newToken('later', 'write'),
];
type TestToken = typeof shop;

let folder: string;
let path: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  path = join(folder, 'tokens');
});
afterEach(endServices);
afterAll(() => rm(folder, { recursive: true }));

const write = (...tokens: TestToken[]) =>
  writeFileSync(path, tokens.map(({ line }) => line).join(''));

async function guardedService(variables: Record<string, string> = {}): Promise<TestService> {
  const database = await emptyDatabase();
  const all = { API_TOKENS_FILE: path, WORKERS: '3', ...variables };
  return startService({ database, variables: all });
}

const deposit = (service: TestService, { secret }: TestToken) =>
  service.request(WALLETS, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${secret}`,
      connection: 'close',
      'content-type': 'application/json',
    },
    body: `{"walletID":${freshWalletId()},"operationType":"DEPOSIT","amount":1}`,
  });

/** Enough connections that every worker has some: each misses them all once in a million runs. */
const CONNECTIONS = 36;

async function statuses(service: TestService, token: TestToken): Promise<number[]> {
  const answers = Array.from({ length: CONNECTIONS }, () => deposit(service, token));
  return [...new Set((await Promise.all(answers)).map(({ status }) => status))];
}

/** Kills workers, and waits until as many listen again. */
async function replace(service: TestService, killed: number[]): Promise<void> {
  const port = service.port.toString(16).toUpperCase().padStart(4, '0');
  const listeners = () =>
    readFileSync('/proc/net/tcp', 'utf8').split(`:${port} 00000000:0000 0A`).length - 1;
  const before = listeners();
  for (const pid of killed) process.kill(pid, 'SIGKILL');
  await until(() => listeners() === before - killed.length, 'their end');
  await until(() => listeners() === before, 'their successors');
}

/** Asks for the file to be read again, and waits until the supervisor has done so. */
async function reload(service: TestService, text = 'read the API tokens'): Promise<void> {
  const before = service.logged(text).length;
  service.signal('SIGHUP');
  await until(() => service.logged(text).length > before, text);
  // The workers are told at the same moment; this is for a machine that is busy.
  await sleep(200);
}

describe('on SIGHUP', () => {
  test('the file counts in all workers, their successors too, and no request fails', async () => {
    write(shop, reports);
    const service = await (await guardedService()).listening();
    const failed: string[] = [];
    let [answered, isDone] = [0, false];
    const callers = Array.from({ length: 12 }, async () => {
      const client = new HttpClient(`http://127.0.0.1:${service.port}`);
      while (!isDone) {
        const body = `{"walletID":1,"operationType":"DEPOSIT","amount":1}`;
        const sent = client.post(WALLETS, body, [`Authorization: Bearer ${shop.secret}`]);
        const status = await sent.then((answer) => answer.status, String);
        if (status === 200) answered += 1;
        else failed.push(String(status));
      }
      client.close();
    });
    const workers = service.workers();
    for (let round = 0; round < 5; round += 1) {
      expect(await statuses(service, later)).toEqual([401]);
      write(shop, later);
      await reload(service);
      expect(await statuses(service, later)).toEqual([200]);
      write(shop, reports);
      await reload(service);
    }
    write(shop, later);
    await reload(service);
    isDone = true;
    await Promise.all(callers);
    expect(failed).toEqual([]);
    expect(answered).toBeGreaterThan(100);
    expect(service.workers()).toEqual(workers);

    // Whoever comes later has what is in force, not what the file holds by now.
    writeFileSync(path, 'half a li');
    await replace(service, workers);
    expect(await statuses(service, later)).toEqual([200]);
    expect(await statuses(service, shop)).toEqual([200]);
    expect(await statuses(service, reports)).toEqual([401]);
  });

  test('a file that is wrong or gone is an error, and the old tokens stay', async () => {
    write(shop);
    const service = await (await guardedService()).listening();
    const text = 'files are wrong; what was read before stays in force';
    writeFileSync(path, `${shop.line}sEcr3t\n`);
    await reload(service, text);
    rmSync(path);
    await reload(service, text);
    const [wrong, gone, ...more] = service.logged(text);
    expect(more).toEqual([]);
    expect(wrong).toMatchObject({
      level: 50,
      faults: [
        'API_TOKENS_FILE: line 2: SCOPE must be read or write',
        'API_TOKENS_FILE: line 2: SHA256 must be 64 hexadecimal digits',
      ],
    });
    expect(gone?.faults).toEqual([expect.stringContaining('ENOENT')]);
    expect(service.stdout).not.toContain('sEcr3t');
    await replace(service, service.workers().slice(1));
    expect(await statuses(service, shop)).toEqual([200]);
    expect(await statuses(service, later)).toEqual([401]);
    write();
    await reload(service);
    expect(await statuses(service, shop)).toEqual([401]);
  });
});

describe('at the start', () => {
  test('a file that is wrong is told on stderr, and nothing runs', async () => {
    writeFileSync(path, `${shop.line}${shop.line}x\n`);
    const service = await guardedService();
    expect(await service.exit()).toBe(2);
    const lines = service.stderr.trim().split('\n');
    expect(lines.map((line) => line.slice(0, 24))).toEqual([
      ...Array(2).fill('API_TOKENS_FILE: line 2:'),
      ...Array(2).fill('API_TOKENS_FILE: line 3:'),
    ]);
    expect(service.stderr).not.toContain(shop.token.sha256);
  });

  test('the log counts the tokens by scope', async () => {
    write(shop, reports, later);
    const service = await (await guardedService()).listening();
    expect(service.logged('read the API tokens')).toEqual([
      expect.objectContaining({ level: 30, read: 1, write: 2 }),
    ]);
    const pid = service.logged('listening on')[0]?.pid;
    expect(service.processes()).toContain(Number(pid));
    expect(service.workers()).not.toContain(Number(pid));
  });

  test('SIGHUP harms nobody, also where the whole group gets it', async () => {
    write(shop);
    const service = await guardedService();
    await until(() => service.stdout.includes('read the API tokens'), 'the first line');
    let isDone = false;
    const signals = (async () => {
      while (!isDone) {
        service.signal('SIGHUP');
        await sleep(5);
      }
    })();
    await service.listening();
    for (const worker of service.workers()) process.kill(worker, 'SIGHUP');
    await sleep(300);
    isDone = true;
    await signals;
    expect(await statuses(service, shop)).toEqual([200]);
    expect(service.logged('a worker died')).toEqual([]);
    service.signal('SIGTERM');
    expect(await service.exit()).toBe(0);
  });
});

test('an address that others can reach is a warning, unless there is a file', () => {
  write(shop);
  const warnings = (host: string, file: string) => {
    const { logger, lines } = recordingLogger();
    new ReloadedFiles(readConfig({ APP_ADDRESS: `${host}:80`, API_TOKENS_FILE: file }), logger);
    return lines.filter(({ level }) => level === 40).map(({ msg }) => msg);
  };
  for (const host of ['127.0.0.1', '127.1.2.3', '[::1]', 'localhost']) {
    expect(warnings(host, '')).toEqual([]);
  }
  for (const host of ['', '0.0.0.0', '[::]', '10.0.0.1', 'example.com', '127.example.com']) {
    expect(warnings(host, '')).toEqual([expect.stringContaining('open to other machines')]);
    expect(warnings(host, path)).toEqual([]);
  }
});

test('no secret is in what the service prints or shows, whatever is sent to it', async () => {
  write(shop, reports);
  const service = await (await guardedService({ LOG_LEVEL: 'debug', WORKERS: '1' })).listening();
  const { port, metricsPort } = service;
  const url = `http://127.0.0.1:${port}`;
  const values = [
    ...[shop, reports, later].map(({ secret }) => `Bearer ${secret}`),
    ...[shop.secret, `Basic ${shop.secret}`, `Bearer ${shop.secret} x`, `Bearer ${shop.secret}!`],
  ];
  // First what makes the first line of the log.
  const paths = [`${WALLETS}?access_token=${shop.secret}`, WALLETS, `${WALLETS}/${shop.secret}`];
  const answers: string[] = [];
  for (const authorization of values) {
    for (const target of [...paths, `/${shop.secret}`]) {
      for (const method of ['GET', 'POST', 'PUT']) {
        const headers = { authorization, 'content-type': 'application/json' };
        const answer = await fetch(url + target, { method, headers });
        answers.push(JSON.stringify([...answer.headers]), await answer.text());
      }
    }
    await sleep(150);
  }
  const metrics = () => fetch(`http://127.0.0.1:${metricsPort}/metrics`).then((one) => one.text());
  await until(async () => (await metrics()).includes('reason="scope"'), 'the report of the worker');
  service.signal('SIGTERM');
  const shown = (await metrics().catch(() => '')) + answers.join('');
  await service.exit();
  const said = service.stdout + service.stderr + shown;
  expect(service.logged('refused a request').length).toBeGreaterThan(0);
  for (const { secret, token } of [shop, reports, later]) {
    expect([said.includes(secret.slice(7)), said.includes(token.sha256)]).toEqual([false, false]);
  }
});

/** `setsid` gives the service the terminal as its own, as a shell does. */
test.if(Bun.which('setsid') !== null)('a service in a terminal ends with it', async () => {
  const database = await emptyDatabase();
  let printed = '';
  const terminal = new Bun.Terminal({
    data: (_terminal, bytes) => {
      printed += new TextDecoder().decode(bytes);
    },
  });
  const port = freePort();
  write(shop);
  const service = Bun.spawn(['setsid', '--ctty', process.execPath, 'src/main.ts', 'start'], {
    cwd: projectRoot,
    terminal,
    env: {
      PATH: process.env.PATH,
      APP_ADDRESS: `127.0.0.1:${port}`,
      METRICS_ADDRESS: `127.0.0.1:${freePort()}`,
      API_TOKENS_FILE: path,
      WORKERS: '1',
      ...databaseVariables(database),
    },
  });
  const count = (text: string) => printed.split(text).length - 1;
  try {
    await until(() => count('listening on') > 0, 'the service', 20_000);
    service.kill('SIGHUP');
    await until(() => count('read the API tokens') === 2, 'the file to be read again');
    expect(isFree(port)).toBe(false);
    terminal.close();
    expect(await Promise.race([service.exited, sleep(15_000, 'late')])).toBe(0);
    expect(isFree(port)).toBe(true);
  } finally {
    service.kill('SIGKILL');
  }
});
