/**
 * `bun run backup` and `bun run restore` as they are called: beside a service under load, into
 * another database, on files that are there, cut or damaged, and with psql.
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
import { existsSync, readdirSync, statSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { projectRoot } from '../src/config.ts';
import { connect, type Sql } from '../src/database/connection.ts';
import { migrate } from '../src/database/migrations.ts';
import { databaseVariables } from '../src/own-database.ts';
import type { ServerAddress } from '../src/server-address.ts';
import type { Environment } from '../src/settings.ts';
import { databaseOf } from './faults/service-processes.ts';
import { startApp, WALLETS } from './helpers/app.ts';
import { emptyDatabase, freshWalletId, sqlFolder, temporaryFolder } from './helpers/database.ts';
import { auditFaults } from './helpers/journal.ts';
import { endServices, startService, type TestService, until } from './helpers/service.ts';
import { TestSlot } from './ledger/flights.ts';

setDefaultTimeout(90_000);

/** Far more than a command takes here. */
const COMMAND_MS = 60_000;

let folder: string;
let clients: Sql[] = [];
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterEach(async () => {
  await Promise.all(clients.map((sql) => sql.end({ timeout: 1 })));
  clients = [];
});
afterAll(async () => {
  await endServices();
  await rm(folder, { recursive: true });
});

/** Runs a command of src/main.ts to its end. */
async function command(words: string[], variables: Environment) {
  const child = Bun.spawn([process.execPath, 'src/main.ts', ...words, '--config', '/dev/null'], {
    cwd: projectRoot,
    env: { PATH: process.env.PATH, ...variables },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: COMMAND_MS,
  });
  const texts = [child.stdout.text(), child.stderr.text()] as const;
  const [code, stdout, stderr] = [await child.exited, await texts[0], await texts[1]];
  return { code, stdout, stderr: stderr.trim() };
}

function client(address: ServerAddress): Sql {
  const sql = connect(address, { max: 1, name: 'wallet-test-backup' });
  clients.push(sql);
  return sql;
}

const freshFile = () => join(folder, `${crypto.randomUUID()}.sql.gz`);

/** A database with a wallet of three operations, and its backup. */
async function backedUp() {
  const address = await emptyDatabase();
  const sql = client(address);
  await migrate(sql, sqlFolder);
  const walletId = freshWalletId();
  const slot = await new TestSlot(sql).register();
  for (const key of ['a\\.b', "it's", '"\\N"']) {
    await slot.fly([{ walletId, type: 'DEPOSIT', amount: 14n, key }]);
  }
  const file = freshFile();
  const { code, stderr } = await command(['backup', file], databaseVariables(address));
  expect([code, stderr]).toEqual([0, '']);
  return { address, sql, file, walletId };
}

/** All operations, keys and wallets up to the versions that another database has. */
async function stored(sql: Sql, versions: { id: bigint; version: bigint }[]) {
  const all = versions.map(({ id, version }) => `(${id}, ${version})`);
  return sql.unsafe(`
    with upto (id, version) as (values ${all})
    select o::text as row from operations as o join upto on id = wallet_id
      where o.version <= upto.version
    union all
    select k::text from idempotency_keys as k join upto on id = wallet_id
      where k.version <= upto.version
    order by 1`);
}

const depositText = (id: bigint) => `{"walletID":${id},"operationType":"DEPOSIT","amount":42}`;

function deposit(service: TestService, id: bigint, key: string) {
  return service.request(WALLETS, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    body: depositText(id),
  });
}

describe('a backup of a service under load', () => {
  let service: TestService;
  let restored: ServerAddress;
  let sql: Sql;
  let versions: { id: bigint; version: bigint; amount: bigint }[];
  const ids = Array.from({ length: 5 }, freshWalletId);
  const first = { id: ids[0] as bigint, key: 'the-first' };
  let answered = 0;

  /** Deposits until it is told to stop. */
  async function load(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const id = ids[answered % ids.length] as bigint;
      const { status } = await deposit(service, id, crypto.randomUUID());
      expect(status).toBe(200);
      answered += 1;
    }
  }

  beforeAll(async () => {
    service = await (await startService()).listening();
    await deposit(service, first.id, first.key);
    const stop = new AbortController();
    const callers = Array.from({ length: 8 }, () => load(stop.signal));
    await until(() => answered > 500, '500 deposits');
    const file = freshFile();
    const made = await command(['backup', file], { DATA_DIR: service.dataDirectory });
    const before = answered;
    await until(() => answered > before + 200, '200 deposits more');
    stop.abort();
    await Promise.all(callers);
    expect([made.code, made.stderr]).toEqual([0, '']);
    restored = await emptyDatabase();
    const loaded = await command(['restore', file], databaseVariables(restored));
    expect([loaded.code, loaded.stderr]).toEqual([0, '']);
    const lastLine = JSON.parse(loaded.stdout.trim().split('\n').at(-1) as string);
    expect(lastLine.msg).toContain('"bun run audit"');
  });

  beforeAll(async () => {
    sql = connect(restored, { max: 1, name: 'wallet-test-restored' });
    versions = [...(await sql<typeof versions>`select id, version, amount from wallets`)];
  });
  afterAll(() => sql.end({ timeout: 1 }));

  test('is a moment of it: each balance is the sum of its journal', async () => {
    expect(versions.map(({ id }) => id).sort()).toEqual([...ids].sort());
    const total = versions.reduce((sum, { version }) => sum + Number(version), 0);
    expect(total).toBeWithin(500, answered);
    for (const { version, amount } of versions) expect(amount).toBe(42n * version);
    expect(await auditFaults(sql, ids)).toEqual([]);
    expect((await command(['audit'], databaseVariables(restored))).code).toBe(0);
  });

  test('holds what the service had at that moment, to the microsecond', async () => {
    const source = client(await databaseOf(service));
    for (const one of [source, sql]) await one`set timezone = 'UTC'`;
    const expected = await stored(source, versions);
    expect(expected.length).toBeGreaterThan(1000);
    expect(await stored(sql, versions)).toEqual(expected);
  });

  test('is served like the original: balances, history and answers of keys', async () => {
    const app = await startApp({ database: restored });
    const balance = versions.find(({ id }) => id === first.id)?.amount;
    expect((await app.balance(first.id)).text).toContain(`"amount":${balance}}`);
    const history = await app.request(`${WALLETS}/${first.id}/operations?before=2`);
    expect(history.text).toContain('"idempotencyKey":"the-first"');
    const again = await app.post(depositText(first.id), { 'idempotency-key': first.key });
    expect([again.headers.get('idempotency-replayed'), again.status]).toEqual(['true', 200]);
    expect(again.text).toContain(`"amount":42}`);
    expect((await app.balance(first.id)).text).toContain(`"amount":${balance}}`);
    await app.stop();
  });
});

describe('a file', () => {
  test('can be read by its owner only, and nothing is beside it', async () => {
    const { file } = await backedUp();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder).filter((name) => name.includes('partial'))).toEqual([]);
  });

  test('that exists is never overwritten', async () => {
    const { file, address } = await backedUp();
    const before = await readFile(file);
    const { code, stderr } = await command(['backup', file], databaseVariables(address));
    expect([code, stderr]).toEqual([1, `${file} exists already: name another file`]);
    expect(await readFile(file)).toEqual(before);
  });

  test('that cannot be written is told', async () => {
    const { address } = await backedUp();
    const file = join(folder, 'nowhere', 'file');
    const { code, stderr } = await command(['backup', file], databaseVariables(address));
    expect(code).toBe(1);
    expect(stderr).toStartWith(`cannot write ${file}`);
  });
});

describe('a restore', () => {
  test('of a file that is cut, damaged or no backup leaves the database alone', async () => {
    const { file } = await backedUp();
    const whole = await readFile(file);
    const flipped = (at: number) => {
      const copy = Buffer.from(whole);
      copy[at] = (copy[at] as number) ^ 8;
      return copy;
    };
    const half = Math.floor(whole.length / 2);
    const text = gunzipSync(whole);
    const wrong = [
      Buffer.alloc(0),
      Buffer.from('no backup'),
      gzipSync('no backup'),
      gzipSync(text.subarray(0, text.length - 20)),
      whole.subarray(0, half),
      whole.subarray(0, whole.length - 1),
      flipped(half),
      flipped(whole.length - 6),
    ];
    const target = await emptyDatabase();
    for (const bytes of wrong) {
      const damaged = freshFile();
      await writeFile(damaged, bytes);
      const { code, stderr } = await command(['restore', damaged], databaseVariables(target));
      expect(code).toBe(1);
      expect(stderr).toStartWith(`${damaged} cannot be restored: `);
      expect(stderr.split('\n')).toHaveLength(1);
    }
    const left = await client(target)`
      select from pg_class where relnamespace = 'public'::regnamespace`;
    expect(left).toHaveLength(0);
  });

  test('into a new DATA_DIR is what a service then serves, and is done only once', async () => {
    const { file, walletId } = await backedUp();
    // It does not start, and removes the data in the end.
    const service = await startService({ variables: { APP_ADDRESS: 'wrong' } });
    const variables = { DATA_DIR: service.dataDirectory };
    expect((await command(['restore', file], variables)).code).toBe(0);
    const again = await command(['restore', file], variables);
    expect([again.code, again.stderr]).toEqual([
      1,
      'the database is not empty: there are wallets in it; restore into a new one',
    ]);
    const { dataDirectory } = service;
    const serving = await (await startService({ dataDirectory })).listening();
    expect((await serving.request(`${WALLETS}/${walletId}`)).text).toContain('"amount":42}');
    await serving.end();
  });

  test.if(Bun.which('psql') !== null)('can be left to psql', async () => {
    const { file, sql, walletId } = await backedUp();
    const address = await emptyDatabase();
    const target = client(address);
    await migrate(target, sqlFolder);
    const { host, port, user, name } = address;
    const psql = `psql -qX -h '${host}' -p ${port} -U ${user} ${name}`;
    const load = async () => {
      const child = Bun.spawn(['bash', '-c', `set -o pipefail; zcat '${file}' | ${psql}`], {
        stdio: ['ignore', 'ignore', 'ignore'],
      });
      return child.exited;
    };
    expect(await load()).toBe(0);
    expect(await load()).not.toBe(0);
    const versions = [{ id: walletId, version: 3n }];
    expect(await stored(target, versions)).toEqual(await stored(sql, versions));
    expect(await auditFaults(target, [walletId])).toEqual([]);
  });
});

test('a database in which no service was started has nothing to audit or to back up', async () => {
  const variables = databaseVariables(await emptyDatabase());
  const file = freshFile();
  for (const words of [['audit'], ['backup', file]]) {
    const { code, stderr } = await command(words, variables);
    expect([code, stderr]).toEqual([
      1,
      'the database has no tables of this service: start the service once first',
    ]);
  }
  expect(existsSync(file)).toBe(false);
});

test('a command without its file, or with too many, is told how it is called', async () => {
  for (const words of [
    ['backup'],
    ['restore'],
    ['backup', 'a', 'b'],
    ['audit', 'a'],
    ['toString', 'a'],
  ]) {
    const { code, stderr } = await command(words, {});
    expect(code).toBe(2);
    expect(stderr).toContain('usage: bun run start');
  }
});
