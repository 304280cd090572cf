/**
 * `dev` on a copy of the project: what is saved is live within two seconds, over a database that
 * keeps running. The copy's own config.env is wrong on purpose: --config names another file.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freshWalletId } from './helpers/database.ts';
import { copyProject, saveEdit } from './helpers/project-copy.ts';
import { endServices, isFree, startService, type TestService, until } from './helpers/service.ts';

setDefaultTimeout(30_000);

/** How soon what was saved must be live, at its best: other programs may need the machine too. */
const LIVE_MS = 2000;
const TRIES = 3;

const WAIT_MS = 10_000;

let copy: string;
let service: TestService;
let postmaster: string;

beforeAll(async () => {
  copy = await copyProject();
  await writeFile(join(copy, 'config.env'), 'QUEUE_MAX=none\n');
  service = await startService({ command: 'dev', root: copy });
  await service.listening();
  postmaster = postmasterPid();
});

afterAll(async () => {
  await endServices();
  await rm(copy, { recursive: true });
});

function postmasterPid(): string {
  const path = join(service.dataDirectory, 'postgres', 'cluster', 'postmaster.pid');
  return readFileSync(path, 'utf8').split('\n')[0] as string;
}

const save = (path: string, from: string, to: string) => saveEdit(join(copy, path), from, to);

/** Waits until the service answers a path with a text, which must not take long. */
function live(path: string, text: string): Promise<void> {
  const answered = async () => {
    const answer = await service.request(path).catch(() => ({ text: '' }));
    return answer.text.includes(text);
  };
  return until(answered, `${path} to answer ${text}`, WAIT_MS);
}

describe('bun run dev', () => {
  test('makes a saved source file live within two seconds', async () => {
    const times: number[] = [];
    while (times.length < TRIES && Math.min(LIVE_MS, ...times) === LIVE_MS) {
      const began = Date.now();
      const restore = await save('src/http/refusals.ts', "'not found'", "'nothing here'");
      await live('/nowhere', '"nothing here"');
      times.push(Date.now() - began);
      await restore();
      await live('/nowhere', '"not found"');
    }
    expect(Math.min(...times)).toBeLessThan(LIVE_MS);
    expect(postmasterPid()).toBe(postmaster);
  });

  test('makes a saved function live', async () => {
    const id = freshWalletId();
    const restore = await save(
      'sql/apply_operations.sql',
      'balances := array[here_amount];',
      'balances := array[7];',
    );
    const deposited = async () => {
      const { text } = await service.deposit(id, 100n).catch(() => ({ text: '' }));
      return /"amount":(\d+)/.exec(text)?.[1] ?? '';
    };
    await until(async () => (await deposited()) === '7', 'the new function', WAIT_MS);
    await restore();
    await until(async () => (await deposited()).endsWith('00'), 'the old function', WAIT_MS);
    expect(postmasterPid()).toBe(postmaster);
  });

  test('prints a syntax error and comes back with the next save', async () => {
    const restore = await save('src/http/refusals.ts', 'export const', 'export konst');
    const printed = () =>
      service.stderr.includes('refusals.ts') && service.stderr.includes('konst');
    await until(printed, 'the syntax error', WAIT_MS);
    await expect(service.request('/livez')).rejects.toThrow();
    await restore();
    await live('/livez', 'true');
    expect(postmasterPid()).toBe(postmaster);
  });

  test('prints an error of a function and comes back with the next save', async () => {
    const restore = await save('sql/apply_operations.sql', 'language plpgsql', 'language nonsense');
    const printed = () => service.stderr.includes('sql/apply_operations.sql, line ');
    await until(printed, 'the error', WAIT_MS);
    await restore();
    await live('/livez', 'true');
    expect(postmasterPid()).toBe(postmaster);
  });
});

test.each(['Ctrl-C', 'SIGKILL'])('%s ends it and leaves nothing behind', async (how) => {
  const other = await startService({ command: 'dev', root: copy });
  await other.listening();
  expect(other.processes().length).toBeGreaterThan(4);
  if (how === 'Ctrl-C') other.interrupt();
  else other.signal('SIGKILL');
  expect(await other.exit(5000)).toBe(how === 'Ctrl-C' ? 0 : 137);
  const patienceMs = how === 'Ctrl-C' ? 0 : 5000;
  await until(() => other.processes().length === 0, 'the end of all processes', patienceMs);
  expect(isFree(other.port)).toBe(true);
});
