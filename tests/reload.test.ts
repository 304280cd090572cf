/**
 * A rolling restart under load: `SIGUSR2` and `bun run reload`. How many requests fail without the
 * kernel's help is measured, not promised; with it none does.
 */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectRoot } from '../src/config.ts';
import { emptyDatabase, freshWalletId } from './helpers/database.ts';
import { copyProject, saveEdit } from './helpers/project-copy.ts';
import {
  commandOf,
  endServices,
  startService,
  type TestService,
  until,
} from './helpers/service.ts';

setDefaultTimeout(60_000);

const MIGRATE_FILE = '/proc/sys/net/ipv4/tcp_migrate_req';

let copies: string[] = [];

afterAll(async () => {
  await endServices();
  await Promise.all(copies.map((copy) => rm(copy, { recursive: true })));
  copies = [];
});

const startCopy = async () => {
  const copy = await copyProject();
  copies.push(copy);
  return { copy, service: await (await startService({ root: copy })).listening() };
};

const runReload = async ({ port }: Pick<TestService, 'port'>, root = projectRoot) => {
  const command = [process.execPath, 'src/main.ts', 'reload', '--config', '/dev/null'];
  const child = Bun.spawn(command, {
    cwd: root,
    env: { PATH: process.env.PATH, APP_ADDRESS: `127.0.0.1:${port}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { code: await child.exited, stdout, stderr };
};

/** Of the service alone: the group's leader may be a launcher. */
function supervisorOf(service: TestService): number {
  const pid = service.processes().find((one) => commandOf(one).includes('main.ts\0start\0'));
  if (pid === undefined) throw new Error('there is no supervisor');
  return pid;
}

test('a reload replaces every worker, one by one, and says how long each took', async () => {
  const service = await (await startService()).listening();
  const before = service.workers();
  const id = freshWalletId();
  await service.deposit(id, 5n);
  expect(await runReload(service)).toMatchObject({ code: 0, stdout: 'all workers are replaced\n' });
  const after = service.workers();
  expect(after).toHaveLength(before.length);
  expect(after.filter((pid) => before.includes(pid))).toEqual([]);
  const steps = service.logged('replaced worker');
  expect(steps.map(({ msg }) => msg)).toEqual(['replaced worker 1 of 2', 'replaced worker 2 of 2']);
  for (const { startMs, drainMs } of steps) {
    expect(startMs).toBeGreaterThan(0);
    expect(drainMs).toBeGreaterThan(0);
  }
  expect(service.logged('died')).toEqual([]);
  expect((await service.deposit(id, 1n)).text).toContain(`"amount":6`);
});

test('signals that come while a reload is under way are one more, for newer code', async () => {
  const service = await (await startService()).listening();
  const pid = supervisorOf(service);
  process.kill(pid, 'SIGUSR2');
  await service.waitFor('replaced worker 1');
  for (let i = 0; i < 3; i += 1) {
    process.kill(pid, 'SIGUSR2');
    await sleep(10);
  }
  const reloads = () => service.logged('reloaded').length;
  await until(() => reloads() === 2, 'two reloads', 20_000);
  await sleep(500);
  expect(service.logged('replaced worker')).toHaveLength(4);
  expect(reloads()).toBe(2);
});

test('a service that is stopped amid a reload ends as usual', async () => {
  const service = await (await startService()).listening();
  process.kill(supervisorOf(service), 'SIGUSR2');
  await service.waitFor('reloading');
  service.signal('SIGTERM');
  expect(await service.exit()).toBe(0);
  expect(service.processes()).toEqual([]);
});

test('a reload brings new code and new SQL', async () => {
  const { copy, service } = await startCopy();
  await saveEdit(join(copy, 'src/http/refusals.ts'), "'insufficient funds'", "'too little'");
  await saveEdit(join(copy, 'sql/version_at.sql'), '-- The version', '-- the version');
  expect((await runReload(service, copy)).code).toBe(0);
  expect((await service.waitFor('migrated')).applied).toBeDefined();
  expect(service.logged('migrated').at(-1)?.applied).toEqual(['version_at.sql']);
  const id = freshWalletId();
  await service.deposit(id, 1n);
  const body = `{"walletID":${id},"operationType":"WITHDRAW","amount":2}`;
  const answer = await service.request('/api/v1/wallets', { method: 'POST', body });
  expect(answer.text).toContain('too little');
});

test('a new worker or migration that fails leaves the old workers in their places', async () => {
  const { copy, service } = await startCopy();
  const before = service.workers().sort();
  const mendCode = await saveEdit(join(copy, 'src/worker.ts'), 'new Meter()', 'new Nothing()');
  const { code, stderr } = await runReload(service, copy);
  expect(code).toBe(1);
  expect(stderr).toContain('a migration or a new worker failed, as its log says');
  expect(service.logged('a new worker does not listen')).toHaveLength(1);
  await mendCode();
  await saveEdit(join(copy, 'sql/version_at.sql'), 'language plpgsql', 'language nonsense');
  expect((await runReload(service, copy)).code).toBe(1);
  expect(service.logged('cannot reload')).toHaveLength(1);
  await until(() => service.workers().length === before.length, 'no worker but the old ones');
  expect(service.workers().sort()).toEqual(before);
  expect((await service.deposit(freshWalletId(), 1n)).status).toBe(200);
});

test('a reload without a service is an error that says so', async () => {
  const { code, stderr } = await runReload({ port: 9 });
  expect(code).toBe(1);
  expect(stderr).toEndWith('cannot reload the service on port 9: none runs there\n');
});

test('a reload warns exactly if the kernel does not keep connections that wait', async () => {
  const service = await (await startService()).listening();
  const { stderr } = await runReload(service);
  const setting = Bun.file(MIGRATE_FILE);
  const isKept = (await setting.exists()) && (await setting.text()).trim() === '1';
  expect(service.logged('tcp_migrate_req')).toHaveLength(isKept ? 0 : 1);
  expect(stderr.includes('tcp_migrate_req')).toBe(!isKept);
});

/** A namespace in which the kernel's setting can be changed without anybody else noticing. */
const namespace =
  process.getuid?.() === 0 ? ['unshare', '--net'] : ['unshare', '--net', '--map-root-user'];
const canUnshare =
  process.platform === 'linux' &&
  Boolean(Bun.which('unshare') && Bun.which('ip')) &&
  Bun.spawnSync([...namespace, 'test', '-w', MIGRATE_FILE]).success;

test.skipIf(!canUnshare)(
  'with tcp_migrate_req=1 not one request fails while workers are replaced',
  async () => {
    const database = JSON.stringify(await emptyDatabase());
    const scenario = join(import.meta.dir, 'faults', 'reload-scenario.ts');
    const command = [...namespace, process.execPath, scenario, database, '1'];
    const child = Bun.spawn(command, { stdio: ['ignore', 'pipe', 'inherit'], timeout: 50_000 });
    const { answered, failures, balance } = JSON.parse(await child.stdout.text());
    expect(failures).toEqual([]);
    expect(answered).toBeGreaterThan(200);
    expect(balance).toBe(answered);
  },
);
