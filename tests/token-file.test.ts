/** The file of API tokens: what it may hold, and every fault at once, without what it holds. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError } from '../src/config.ts';
import { readTokens } from '../src/token-file.ts';
import { temporaryFolder } from './helpers/database.ts';
import { newToken } from './helpers/tokens.ts';

let folder: string;
let path: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  path = join(folder, 'tokens');
});
afterAll(() => rm(folder, { recursive: true }));

async function tokensOf(text: string) {
  await writeFile(path, text);
  return readTokens(path);
}

/** The lines that a file is refused with, without the variable's name. */
async function faultsOf(text: string): Promise<string[]> {
  const error = await tokensOf(text).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ConfigError);
  const lines = (error as Error).message.split('\n');
  return lines.map((line) => {
    expect(line).toStartWith('API_TOKENS_FILE: ');
    return line.slice('API_TOKENS_FILE: '.length);
  });
}

const [shop, reports] = [newToken('shop', 'write'), newToken('reports', 'read')];
const HASH = shop.token.sha256;

describe('a file', () => {
  test('lists tokens in its order, with comments and blank lines between', async () => {
    const text = `# who\n\n${shop.line}  \t\n  # old: ${HASH}\n${reports.line}`;
    expect(await tokensOf(text)).toEqual([shop.token, reports.token]);
  });

  test('may have any spaces, line ends, case of digits, and no end of its last line', async () => {
    const text = `\ufeff  shop\twrite   ${HASH.toUpperCase()}\r\n${reports.line.trim()}`;
    expect(await tokensOf(text)).toEqual([shop.token, reports.token]);
  });

  test.each(['', '\n', '# none\n', ' \r\n'])('that is empty has no tokens: %p', async (text) => {
    expect(await tokensOf(text)).toEqual([]);
  });

  test('that is not there, or is none, is a fault', () => {
    for (const wrong of ['/nowhere/tokens', '/']) {
      const read = () => readTokens(wrong);
      expect(read).toThrow(ConfigError);
      expect(read).toThrow(/^API_TOKENS_FILE: cannot be read: /);
    }
  });

  test('has at most 1000 tokens', async () => {
    const lines = Array.from({ length: 1001 }, (_, at) => newToken(`n${at}`, 'read').line);
    expect((await tokensOf(lines.slice(1).join(''))).length).toBe(1000);
    expect(await faultsOf(lines.join(''))).toEqual(['must have at most 1000 tokens']);
  });
});

describe('a name', () => {
  test('has 1 to 64 of its characters', async () => {
    for (const name of ['a', 'A-b_c.9', '__proto__', 'x'.repeat(64)]) {
      expect((await tokensOf(`${name} read ${HASH}`))[0]?.name).toBe(name);
    }
    for (const name of ['x'.repeat(65), 'a/b', 'a"b', 'é', '"shop"']) {
      const fault = 'line 1: NAME must be 1 to 64 of A-Z, a-z, 0-9, ".", "_" and "-"';
      expect(await faultsOf(`${name} read ${HASH}`)).toEqual([fault]);
    }
  });
});

test('every fault is told at once by its line, and nothing of what the file holds', async () => {
  const text = [
    `shop write ${HASH}`,
    'sEcr3t',
    '# fine',
    `a admin ${HASH.slice(1)}`,
    `b read ${reports.token.sha256} sEcr3t`,
    `shop READ ${reports.token.sha256}`,
    `c write ${HASH.toUpperCase()}`,
    `d read ${'g'.repeat(64)}`,
  ].join('\n');
  const faults = await faultsOf(text);
  expect(faults).toEqual([
    'line 2: SCOPE must be read or write',
    'line 2: SHA256 must be 64 hexadecimal digits',
    'line 4: SCOPE must be read or write',
    'line 4: SHA256 must be 64 hexadecimal digits',
    'line 5: must have three words, NAME SCOPE SHA256',
    'line 6: SCOPE must be read or write',
    'line 6: NAME is that of line 1',
    'line 6: SHA256 is that of line 5',
    'line 7: SHA256 is that of line 1',
    'line 8: SHA256 must be 64 hexadecimal digits',
  ]);
});
