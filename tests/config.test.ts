/**
 * The configuration: defaults, bounds at, below and above, every fault at once and by name, and
 * the two places that values come from. The names are read out of src/config.ts itself.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { cp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { readCa } from '../src/ca-file.ts';
import { ConfigError, loadEnvironment, projectRoot, readConfig } from '../src/config.ts';
import { unknownOf } from '../src/setting-names.ts';
import type { Environment } from '../src/settings.ts';
import { temporaryFolder } from './helpers/database.ts';
import { endServices, startService } from './helpers/service.ts';

const SECRET = 'sEcr3t';

afterAll(endServices);

/** The lines that a wrong environment is refused with; none when it is accepted. */
function faultsOf(environment: Environment): string[] {
  try {
    readConfig(environment);
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).message.split('\n');
  }
}

const serverOf = (url: string) => readConfig({ DATABASE_URL: url }).server;

test('an empty environment is a service of its own on this machine only', () => {
  expect(readConfig({})).toEqual({
    address: { host: '127.0.0.1', port: 8192 },
    metricsAddress: { host: '127.0.0.1', port: 9192 },
    tokensFile: undefined,
    server: undefined,
    owner: undefined,
    dataDirectory: join(projectRoot, '.data'),
    workers: Math.min(availableParallelism(), 8),
    attemptTimeoutMs: 3000,
    batchMax: 500,
    flightSlots: 1,
    startTimeoutMs: 60_000,
    requestTimeoutMs: 10_000,
    idleTimeoutMs: 30_000,
    bodyMaxBytes: 16_384,
    queueMax: 10_000,
    isKeyRequired: false,
    keyTtlHours: 24,
    drainMs: 10_000,
    logLevel: 'info',
  });
});

describe('a number', () => {
  const bounds = [
    ['WORKERS', 1, 64, 'workers'],
    ['FLIGHT_SLOTS', 1, 16, 'flightSlots'],
    ['BATCH_MAX', 1, 10_000, 'batchMax'],
    ['ATTEMPT_TIMEOUT_MS', 100, 600_000, 'attemptTimeoutMs'],
    ['DB_START_TIMEOUT_MS', 100, 600_000, 'startTimeoutMs'],
    ['REQUEST_TIMEOUT_MS', 100, 200_000, 'requestTimeoutMs'],
    ['IDLE_TIMEOUT_MS', 15_000, 255_000, 'idleTimeoutMs'],
    ['BODY_MAX_BYTES', 1024, 1_048_576, 'bodyMaxBytes'],
    ['QUEUE_MAX', 1, 1_000_000, 'queueMax'],
    ['IDEMPOTENCY_KEY_TTL_HOURS', 24, 8760, 'keyTtlHours'],
    ['DRAIN_MS', 0, 600_000, 'drainMs'],
  ] as const;

  test.each(bounds)('%s is accepted from %d to %d and refused beyond', (name, min, max, key) => {
    expect(readConfig({ [name]: String(min) })[key]).toBe(min);
    expect(readConfig({ [name]: String(max) })[key]).toBe(max);
    for (const wrong of [min - 1, max + 1]) {
      const fault = `${name}: must be an integer from ${min} to ${max}, not "${wrong}"`;
      expect(faultsOf({ [name]: String(wrong) })).toEqual([fault]);
    }
  });

  test('IDLE_TIMEOUT_MS is 20 s more than REQUEST_TIMEOUT_MS, and never less than 5 s more', () => {
    const idle = (ms: number, text = '') =>
      readConfig({ REQUEST_TIMEOUT_MS: String(ms), IDLE_TIMEOUT_MS: text }).idleTimeoutMs;
    expect([idle(100), idle(200_000)]).toEqual([20_100, 220_000]);
    expect([idle(100, '5100'), idle(200_000, '205000')]).toEqual([5100, 205_000]);
    const range = 'must be an integer from 205000 to 255000, not "204999"';
    expect(() => idle(200_000, '204999')).toThrow(`IDLE_TIMEOUT_MS: ${range}`);
  });

  test('DB_PORT is accepted from 1 to 65535, also where it is not used', () => {
    for (const port of [1, 65_535]) {
      expect(readConfig({ DB_HOST: 'h', DB_PORT: String(port) }).server?.port).toBe(port);
    }
    for (const port of ['0', '65536']) expect(faultsOf({ DB_PORT: port })).toHaveLength(1);
  });
});

describe('DATABASE_URL', () => {
  test('names host, port, user, password and database', () => {
    const server = { host: 'db.example', port: 6543, user: 'me', password: 'it', name: 'money' };
    expect(serverOf('postgres://me:it@db.example:6543/money')).toEqual(server);
    expect(serverOf('postgresql://me:it@db.example:6543/money?sslmode=disable')).toEqual(server);
  });

  test('without port and user means 5432 and postgres', () => {
    const server = { host: 'db', port: 5432, user: 'postgres', password: '', name: 'wallet' };
    expect(serverOf('postgres://db/wallet')).toEqual(server);
  });

  test('is percent-decoded in user, password and database', () => {
    const server = serverOf('postgres://a%40b:p%40%3A%2F%25%23w@db/my%20money');
    expect(server).toMatchObject({ user: 'a@b', password: 'p@:/%#w', name: 'my money' });
  });

  test('may name an IPv6 host', () => {
    expect(serverOf('postgres://u@[::1]:5433/w')).toMatchObject({ host: '::1', port: 5433 });
  });

  test('accepts a port from 1 to 65535', () => {
    expect(serverOf('postgres://h:1/w')?.port).toBe(1);
    expect(serverOf('postgres://h:65535/w')?.port).toBe(65_535);
    for (const port of [0, 65_536]) {
      expect(faultsOf({ DATABASE_URL: `postgres://h:${port}/w` })).toHaveLength(1);
    }
  });

  test.each([
    `postgres://u:${SECRET}@h`,
    `postgres://u:${SECRET}@h/`,
    `postgres://u:${SECRET}@/w`,
    `postgres://u:${SECRET}@h:port/w`,
    `postgres://u:${SECRET}%zz@h/w`,
    `mysql://u:${SECRET}@h/w`,
    `postgres:/u:${SECRET}@h/w`,
    `u:${SECRET}@h/w`,
    SECRET,
    `postgres://u:${SECRET}@h/w?sslmode=prefer`,
    `postgres://u:${SECRET}@h/w?sslmode=require&sslmode=disable`,
    `postgres://u:${SECRET}@h/w?sslrootcert=/ca.pem`,
    `postgres://u@h/w?password=${SECRET}`,
  ])('that is malformed is one fault, which tells the form and not the text: %s', (url) => {
    const [fault, ...others] = faultsOf({ DATABASE_URL: url });
    expect(others).toEqual([]);
    expect(fault).toStartWith('DATABASE_URL: must ');
    expect(fault).toContain('postgres://user:password@host:port/name');
    expect(fault).not.toContain(SECRET);
  });

  test('together with DB_HOST is a fault', () => {
    const both = { DATABASE_URL: `postgres://u:${SECRET}@h/w`, DB_HOST: 'h' };
    expect(faultsOf(both)).toEqual([
      'DATABASE_URL: cannot stand together with DB_HOST; set one of them',
    ]);
  });
});

test('DB_HOST names a server, with defaults for what is not said', () => {
  const server = { host: '/run/pg', port: 5432, user: 'postgres', password: '', name: 'wallet' };
  expect(readConfig({ DB_HOST: '/run/pg' }).server).toEqual(server);
  const rest = { DB_PORT: '1', DB_USER: 'u', DB_PASSWORD: ' p"%', DB_NAME: 'n' };
  const all = readConfig({ DB_HOST: 'h', ...rest }).server;
  expect(all).toEqual({ host: 'h', port: 1, user: 'u', password: ' p"%', name: 'n' });
  expect(readConfig(rest).server).toBeUndefined();
});

describe('DB_SSL', () => {
  const DB_HOST = 'db';
  const URL = 'postgres://db/wallet';
  const tlsOf = (environment: Environment) => readConfig(environment).server?.tls;

  test('is disable, require or verify-full, also as sslmode in DATABASE_URL', () => {
    expect(tlsOf({ DB_HOST })).toBeUndefined();
    expect(tlsOf({ DB_HOST, DB_SSL: 'disable' })).toBeUndefined();
    expect(tlsOf({ DATABASE_URL: `${URL}?sslmode=disable` })).toBeUndefined();
    for (const mode of ['require', 'verify-full'] as const) {
      expect(tlsOf({ DB_HOST, DB_SSL: mode })).toEqual({ mode });
      expect(tlsOf({ DATABASE_URL: URL, DB_SSL: mode })).toEqual({ mode });
      expect(tlsOf({ DATABASE_URL: `${URL}?sslmode=${mode}` })).toEqual({ mode });
    }
    for (const DB_SSL of ['prefer', 'REQUIRE', 'verify-ca', 'true']) {
      const rule = 'DB_SSL: must be one of disable, require, verify-full';
      expect(faultsOf({ DB_HOST, DB_SSL })).toEqual([`${rule}, not "${DB_SSL}"`]);
    }
  });

  test('is a fault beside sslmode, even where they agree', () => {
    expect(faultsOf({ DATABASE_URL: `${URL}?sslmode=require`, DB_SSL: 'require' })).toEqual([
      'DB_SSL: cannot stand together with sslmode in DATABASE_URL; set one of them',
    ]);
  });

  test('is a fault where there is no network', () => {
    const fault = 'DB_SSL: needs a server on the network: set DB_HOST or DATABASE_URL';
    for (const DB_SSL of ['require', 'verify-full']) {
      expect(faultsOf({ DB_SSL })).toEqual([fault]);
      expect(faultsOf({ DB_SSL, DB_HOST: '/run/pg' })).toEqual([fault]);
      expect(faultsOf({ DB_SSL: 'disable', DB_HOST: '/run/pg' })).toEqual([]);
    }
  });

  test('with DB_SSL_CA_FILE needs verify-full and a file of certificates', () => {
    const faults = (variables: Environment) => faultsOf({ DB_HOST, ...variables });
    const DB_SSL_CA_FILE = 'README.md';
    for (const DB_SSL of ['disable', 'require', undefined]) {
      expect(faults({ DB_SSL, DB_SSL_CA_FILE })).toEqual([
        'DB_SSL_CA_FILE: is used with verify-full only; set DB_SSL=verify-full',
      ]);
    }
    for (const name of ['README.md', '/nowhere/ca.pem', 'src']) {
      const path = resolve(projectRoot, name);
      const variables = { DB_HOST, DB_SSL: 'verify-full', DB_SSL_CA_FILE: name };
      const read = () => readCa(readConfig(variables).server?.tls);
      expect(read).toThrow(`DB_SSL_CA_FILE: must be a file of PEM certificates: ${path}: `);
    }
  });
});

test('LOG_LEVEL is one of four words', () => {
  for (const level of ['debug', 'info', 'warn', 'error'] as const) {
    expect(readConfig({ LOG_LEVEL: level }).logLevel).toBe(level);
  }
  const rule = 'LOG_LEVEL: must be one of debug, info, warn, error';
  expect(faultsOf({ LOG_LEVEL: 'INFO' })).toEqual([`${rule}, not "INFO"`]);
});

test('DATA_DIR is taken from the project, wherever the service is started', () => {
  expect(readConfig({ DATA_DIR: 'a/b' }).dataDirectory).toBe(join(projectRoot, 'a', 'b'));
  expect(readConfig({ DATA_DIR: '/a b' }).dataDirectory).toBe('/a b');
});

test('API_TOKENS_FILE is a path from the project, and empty is the same as not set', () => {
  expect(readConfig({ API_TOKENS_FILE: 'tokens' }).tokensFile).toBe(join(projectRoot, 'tokens'));
  expect(readConfig({ API_TOKENS_FILE: '/a b' }).tokensFile).toBe('/a b');
  expect(readConfig({ API_TOKENS_FILE: '' }).tokensFile).toBeUndefined();
});

test('all faults are reported at once, each by its name', () => {
  const names = ['APP_ADDRESS', 'WORKERS', 'DB_PORT', 'FLIGHT_SLOTS', 'DB_START_TIMEOUT_MS'].concat(
    [
      'REQUEST_TIMEOUT_MS',
      'IDLE_TIMEOUT_MS',
      'BODY_MAX_BYTES',
      'BATCH_MAX',
      'ATTEMPT_TIMEOUT_MS',
      'QUEUE_MAX',
      'DRAIN_MS',
      'LOG_LEVEL',
      'DATABASE_URL',
    ],
  );
  const faults = faultsOf(Object.fromEntries(names.map((name) => [name, 'wrong'])));
  expect(faults.map((fault) => fault.split(':')[0] ?? '').sort()).toEqual(names.sort());
});

describe('the configuration file', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await temporaryFolder();
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('gives way to the process environment, where empty counts as not set', async () => {
    const file = join(folder, 'my config.env');
    await writeFile(file, '# mine\nWORKERS=3\nQUEUE_MAX=7\nDRAIN_MS="9"\nDB_HOST=\n');
    const environment = loadEnvironment(file, { WORKERS: '4', QUEUE_MAX: '' });
    expect(environment).toMatchObject({ WORKERS: '4', QUEUE_MAX: '7', DRAIN_MS: '9' });
    expect(readConfig(environment)).toMatchObject({ workers: 4, queueMax: 7, server: undefined });
  });

  test('lies in the project, and may be missing there', async () => {
    await cp(join(projectRoot, 'src'), join(folder, 'src'), { recursive: true });
    const copy: typeof import('../src/config.ts') = await import(join(folder, 'src', 'config.ts'));
    expect(copy.loadEnvironment(undefined, { WORKERS: '4' })).toEqual({ WORKERS: '4' });
    await writeFile(join(folder, 'config.env'), 'QUEUE_MAX=7\n');
    expect(copy.loadEnvironment(undefined, {})).toEqual({ QUEUE_MAX: '7' });
    const other = join(folder, 'other.env');
    await writeFile(other, 'DRAIN_MS=1\n');
    expect(copy.loadEnvironment(other, {})).toEqual({ DRAIN_MS: '1' });
  });

  test('that was named and cannot be read is a fault', () => {
    for (const file of ['/nowhere/config.env', '/']) {
      const load = () => loadEnvironment(file, {});
      expect(load).toThrow(ConfigError);
      expect(load).toThrow(`cannot read the configuration file ${file}: `);
    }
  });
});

test('the service reports every fault on stderr and ends with 2', async () => {
  const variables = { WORKERS: '0', QUEUE_MAX: 'many', DB_PORT: '1', LOG_LEVEL: '' };
  const configText = 'DRAIN_MS=-1\nWORKERS=3\nLOG_LEVEL=loud\nDB_PORT=0\n';
  const service = await startService({ variables, configText });
  expect(await service.exit()).toBe(2);
  const faults = service.stderr.trim().split('\n');
  const names = faults.map((fault) => fault.split(': must be ')[0]);
  expect(names).toEqual(['WORKERS', 'QUEUE_MAX', 'DRAIN_MS', 'LOG_LEVEL']);
  expect(service.stdout).toBe('');
});

test('config.env.example names exactly the variables that are read, with their defaults', () => {
  const files = ['config.ts', 'limits.ts', 'server-address.ts', 'server-tls.ts'].map((name) =>
    join(projectRoot, 'src', name),
  );
  const source = files.map((path) => readFileSync(path, 'utf8')).join();
  const calls = source.matchAll(/settings\.(?!fault)\w+\(\s*'(\w+)'/g);
  const names = [...new Set([...calls].map(([, name]) => name as string))];
  const example = readFileSync(join(projectRoot, 'config.env.example'), 'utf8');
  const shown = [...example.matchAll(/^#(\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]);
  expect(shown.map(([name]) => name).sort()).toEqual(names.sort() as never);
  expect(unknownOf([...names, 'QUEUE_MX'])).toEqual(['QUEUE_MX']);
  expect(example.replaceAll(/^#.*$/gm, '').trim()).toBe('');
  const withoutDefault = [
    ['WORKERS', 'DATABASE_URL', 'DB_HOST', 'DB_PASSWORD', 'DB_SSL_CA_FILE'],
    ['DB_OWNER_USER', 'DB_OWNER_PASSWORD', 'API_TOKENS_FILE'],
  ].flat();
  for (const [name, value] of shown.filter((one) => !withoutDefault.includes(one[0] as string))) {
    expect(value).not.toBe('');
    const server = { DB_HOST: 'h' };
    expect(readConfig({ ...server, [name as string]: value })).toEqual(readConfig(server));
  }
});
