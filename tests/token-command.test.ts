/** `bun run token` as its users run it: what it prints where, what it adds, what it refuses. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { projectRoot } from '../src/config.ts';
import { readTokens } from '../src/token-file.ts';
import { temporaryFolder } from './helpers/database.ts';
import { newToken } from './helpers/tokens.ts';

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  file = join(folder, 'tokens');
  await writeFile(join(folder, 'own.env'), '');
});
afterEach(() => rm(folder, { recursive: true }));

async function token(words: string[], variable = file) {
  const all = ['src/main.ts', 'token', ...words, '--config', join(folder, 'own.env')];
  const child = Bun.spawn([process.execPath, ...all], {
    cwd: projectRoot,
    env: { PATH: process.env.PATH, API_TOKENS_FILE: variable },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { code: await child.exited, stdout, stderr };
}

const text = () => readFileSync(file, 'utf8');
const hashOf = (secret: string) => createHash('sha256').update(secret).digest('hex');

describe('a token that is made', () => {
  test('is printed alone, and its hash goes into a new file for its owner only', async () => {
    const { code, stdout, stderr } = await token(['shop', 'write']);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^wallet_[\w-]{43}\n$/)]);
    expect(stderr).toBe('SIGHUP makes the token shop known to a service that is running\n');
    expect(text()).toBe(`shop write ${hashOf(stdout.trim())}\n`);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test('is another each time, and is added behind what is there', async () => {
    const first = `# mine\n${newToken('old', 'read').line.trim()}`;
    await writeFile(file, first);
    const secrets = [await token(['one', 'read']), await token(['two', 'write'])];
    const [one = '', two = ''] = secrets.map(({ stdout }) => stdout.trim());
    expect(text()).toBe(`${first}\none read ${hashOf(one)}\ntwo write ${hashOf(two)}\n`);
    expect(readTokens(file).map(({ name }) => name)).toEqual(['old', 'one', 'two']);
    expect(new Set([one, two, '']).size).toBe(3);
  });

  test('is all that `bun run --silent token` gives to a shell', async () => {
    const script = 'SECRET=$(bun run --silent token shop write 2>/dev/null); echo "[$SECRET]"';
    const path = `${join(process.execPath, '..')}:${process.env.PATH}`;
    const shell = Bun.spawn(['bash', '-c', script], {
      cwd: projectRoot,
      env: { PATH: path, API_TOKENS_FILE: file },
    });
    expect(await shell.stdout.text()).toMatch(/^\[wallet_[\w-]{43}\]\n$/);
  });
});

describe('a token that cannot be made', () => {
  const before = newToken('shop', 'write').line;
  const name = 'NAME must be 1 to 64 of A-Z, a-z, 0-9, ".", "_" and "-"';
  const cases: [string, string[], string[]][] = [
    ['with a name that is there', ['shop', 'read'], ['has a token of the name shop']],
    ['with a wrong name', ['a b', 'read'], [name]],
    ['with a name that has a line end', ['a\nb', 'read'], [name]],
    ['with a wrong scope', ['new', 'admin'], ['SCOPE must be read or write']],
    ['with nothing right', ['', ''], [name, 'SCOPE must be read or write']],
  ];
  test.each(cases)('%s ends with 2 and adds nothing', async (_what, words, faults) => {
    await writeFile(file, before);
    const { code, stdout, stderr } = await token(words);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toBe(faults.map((fault) => `API_TOKENS_FILE: ${fault}\n`).join(''));
    expect(text()).toBe(before);
  });

  test('because a word is missing or too many ends with 2 and the usage', async () => {
    for (const words of [[], ['shop'], ['shop', 'read', 'x']]) {
      const { code, stdout, stderr } = await token(words);
      expect([code, stdout]).toEqual([2, '']);
      expect(stderr).toContain('usage: bun run start');
      expect(existsSync(file)).toBe(false);
    }
  });

  test('because of the file ends with 2 and says why', async () => {
    await writeFile(file, 'sEcr3t\n');
    const wrong = await token(['new', 'read']);
    expect([wrong.code, wrong.stdout, text()]).toEqual([2, '', 'sEcr3t\n']);
    expect(wrong.stderr).toStartWith('API_TOKENS_FILE: line 1: ');
    expect(wrong.stderr).not.toContain('sEcr3t');
    const unset = await token(['new', 'read'], '');
    expect([unset.code, unset.stderr]).toEqual([2, 'API_TOKENS_FILE: must be set\n']);
    const nowhere = await token(['new', 'read'], join(folder, 'none', 'tokens'));
    expect([nowhere.code, nowhere.stdout]).toEqual([2, '']);
    expect(nowhere.stderr).toStartWith('API_TOKENS_FILE: cannot be written: ENOENT');
  });
});
