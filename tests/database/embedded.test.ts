/**
 * The service's own PostgreSQL on real folders: what it survives, whom it lets in, and whom it
 * leaves alone. Making a cluster takes a second, so most tests start the same one.
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
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { chmod, cp, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { connect, type Sql } from '../../src/database/connection.ts';
import { EmbeddedDatabase, startEmbedded } from '../../src/database/embedded.ts';
import { asServer, ROOT_LIBRARY } from '../../src/database/postgres-binaries.ts';
import { StartError } from '../../src/start-error.ts';
import { temporaryFolder } from '../helpers/database.ts';
import { recordingLogger } from '../helpers/logger.ts';
import { removeData, until } from '../helpers/service.ts';

const onLinux = test.if(process.platform === 'linux');
const asRoot = test.if(process.getuid?.() === 0);

setDefaultTimeout(30_000);

let folder: string;
/** Has a cluster after the first start. */
let dataDirectory: string;
let ends: (() => unknown)[] = [];

beforeAll(async () => {
  folder = await temporaryFolder();
  dataDirectory = join(folder, 'data');
});

afterEach(async () => {
  for (const end of ends) await end();
  ends = [];
});

afterAll(async () => {
  await removeData(dataDirectory);
  await rm(folder, { recursive: true });
});

interface Running {
  embedded: EmbeddedDatabase;
  sql: Sql;
  lines: Record<string, unknown>[];
  stop: () => Promise<void>;
}

async function start(directory = dataDirectory): Promise<Running> {
  const { logger, lines } = recordingLogger();
  const embedded = await startEmbedded({ dataDirectory: directory, connections: 4, logger });
  const sql = connect(embedded.address, { max: 1, name: 'wallet-test-embedded' });
  const stop = async () => {
    await sql.end({ timeout: 0 });
    await embedded.stop();
  };
  ends.push(() => embedded.kill(), stop);
  await answers(sql);
  return { embedded, sql, lines, stop };
}

function answers(sql: Sql): Promise<void> {
  const answered = () =>
    sql`select 1`.then(
      () => true,
      () => false,
    );
  return until(answered, 'the server to answer');
}

async function startFails(directory = dataDirectory): Promise<string> {
  const { logger } = recordingLogger();
  const attempt = startEmbedded({ dataDirectory: directory, connections: 4, logger });
  const outcome = await attempt.catch((error: unknown) => error);
  if (outcome instanceof EmbeddedDatabase) ends.push(() => outcome.kill());
  expect(outcome).toBeInstanceOf(StartError);
  return (outcome as Error).message;
}

const clusterFile = (name: string, directory = dataDirectory) =>
  join(directory, 'postgres', 'cluster', name);
const isAlive = (pid: number) => existsSync(`/proc/${pid}/stat`);

/** 0 while there is none. */
function postmasterPid(directory = dataDirectory): number {
  const path = clusterFile('postmaster.pid', directory);
  return existsSync(path) ? Number(readFileSync(path, 'utf8').split('\n')[0]) : 0;
}

const keep = (sql: Sql, table: string) => sql`create table ${sql(table)} as select 42 as value`;
const kept = async (sql: Sql, table: string) => [...(await sql`select * from ${sql(table)}`)];

/** A process of somebody else that PostgreSQL could take for one of its own. */
function stranger(options: { cwd?: string } = {}): Bun.Subprocess {
  const child = Bun.spawn(asServer('sleep', '60'), {
    ...options,
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  ends.push(() => child.kill('SIGKILL'));
  return child;
}

describe('the embedded database', () => {
  test('keeps its data when it is stopped and started', async () => {
    const first = await start();
    await keep(first.sql, 'stopped');
    await first.stop();
    expect(await kept((await start()).sql, 'stopped')).toEqual([{ value: 42 }]);
  });

  test('refuses a second start on its folder and goes on serving', async () => {
    const first = await start();
    const session = await first.sql`select pg_backend_pid()`;
    expect(await startFails()).toBe(
      `DATA_DIR ${dataDirectory} is in use by another wallet service: stop it, or set another ` +
        'DATA_DIR',
    );
    expect(await first.sql`select pg_backend_pid()`).toEqual(session);
    await first.stop();
    await start();
  });

  onLinux('is started again with all committed data when it is killed', async () => {
    const { sql, lines } = await start();
    await keep(sql, 'killed');
    const killed = postmasterPid();
    process.kill(killed, 'SIGKILL');
    await until(() => ![killed, 0].includes(postmasterPid()), 'another postmaster', 5000);
    await answers(sql);
    expect(await kept(sql, 'killed')).toEqual([{ value: 42 }]);
    const message = 'the embedded PostgreSQL ended; starting it again';
    expect(lines).toContainEqual(expect.objectContaining({ msg: message, signalCode: 'SIGKILL' }));
  });

  test('listens on a unix socket only, in a folder that nobody else can enter', async () => {
    const { embedded, sql } = await start();
    const [settings] = await sql`
      select current_setting('listen_addresses') as tcp, current_setting('fsync') as fsync,
        current_setting('synchronous_commit') as synchronous_commit`;
    expect(settings).toEqual({ tcp: '', fsync: 'on', synchronous_commit: 'on' });
    expect(statSync(embedded.address.host).mode & 0o777).toBe(0o700);
    expect(statSync(clusterFile('')).mode & 0o777).toBe(0o700);
  });

  test('works in a path of every kind of character', async () => {
    const { embedded } = await start(join(folder, `it's a "nice", großer path`));
    expect(embedded.address.host).toStartWith(await realpath(folder));
  });

  test('has its socket elsewhere when its path is too long, and leaves nothing there', async () => {
    const { embedded, stop } = await start(join(folder, 'long'.repeat(30)));
    const { host } = embedded.address;
    expect(statSync(host).mode & 0o777).toBe(0o700);
    await stop();
    expect(existsSync(host)).toBe(false);
  });

  test('makes a cluster anew that was left half made', async () => {
    const home = join(folder, 'half', 'postgres');
    await mkdir(join(home, 'cluster.unfinished'), { recursive: true });
    await chmod(home, 0o700);
    await writeFile(join(home, 'cluster.unfinished', 'PG_VERSION'), '18\n');
    await start(dirname(home));
    expect(readdirSync(home)).not.toContain('cluster.unfinished');
  });

  test('makes a cluster anew while what a killed start left goes on writing', async () => {
    const left = join(folder, 'writing', 'postgres', 'cluster.unfinished');
    await mkdir(join(left, 'base'), { recursive: true });
    await chmod(dirname(left), 0o700);
    const write = `while mkdir -p '${left}/base'; do sleep 0.01; done`;
    const writer = Bun.spawn(['sh', '-c', write], { stdio: ['ignore', 'ignore', 'ignore'] });
    ends.push(() => writer.kill('SIGKILL'));
    await start(join(folder, 'writing'));
  });
});

describe.if(process.platform === 'linux')('a start', () => {
  const files = [
    ['the cluster', () => clusterFile('postmaster.pid')],
    ['the socket', () => join(dataDirectory, 'postgres', 'socket', '.s.PGSQL.5432.lock')],
  ] as const;

  test.each(files)('ignores a lock file of %s that names a stranger', async (_, path) => {
    const first = await start();
    const text = readFileSync(path(), 'utf8');
    await first.stop();
    const { pid } = stranger();
    await mkdir(dirname(path()), { recursive: true, mode: 0o700 });
    await writeFile(path(), text.replace(/^\d+/, String(pid)));
    await start();
    expect(isAlive(pid)).toBe(true);
  });

  test('leaves a stranger alone whose working folder is the cluster', async () => {
    const first = await start();
    await first.stop();
    const { pid } = stranger({ cwd: clusterFile('') });
    await start();
    expect(isAlive(pid)).toBe(true);
  });
});

const closedFolder = async () => join(await mkdtemp(join(folder, 'closed-')), 'data');

describe('as root', () => {
  asRoot('the server runs as another user', async () => {
    await start();
    expect(statSync(`/proc/${postmasterPid()}`).uid).not.toBe(0);
  });

  asRoot('the data of a folder that is closed to the server lies in one that is not', async () => {
    const closed = await closedFolder();
    await start(closed);
    ends.push(() => removeData(closed));
    const home = await realpath(join(closed, 'postgres'));
    expect(home).toStartWith(`${ROOT_LIBRARY}/data-`);
    expect(statSync(home).mode & 0o777).toBe(0o700);
    expect(statSync(`/proc/${postmasterPid(closed)}`).uid).not.toBe(0);
  });

  asRoot('a copy of such a folder is refused while the original is in use', async () => {
    const closed = await closedFolder();
    const { sql } = await start(closed);
    ends.push(() => removeData(closed));
    const session = await sql`select pg_backend_pid()`;
    const copy = join(folder, 'copy');
    await cp(closed, copy, { recursive: true, verbatimSymlinks: true });
    expect(await startFails(copy)).toContain(`${copy} is in use by another wallet service`);
    expect(await sql`select pg_backend_pid()`).toEqual(session);
  });
});
