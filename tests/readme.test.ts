/** The README is true: its examples answer as printed, and its tables name what there is. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../src/config.ts';
import { connect } from '../src/database/connection.ts';
import { migrate } from '../src/database/migrations.ts';
import { refusals } from '../src/http/refusals.ts';
import { startApp, type TestApp } from './helpers/app.ts';
import { emptyDatabase, sqlFolder } from './helpers/database.ts';
import { newToken } from './helpers/tokens.ts';

const readme = readFileSync(join(projectRoot, 'README.md'), 'utf8');

/** Each `$ command` of the README's consoles with the lines that it prints. */
const examples = [...readme.matchAll(/```console\n([\s\S]*?)```/g)]
  .flatMap(([, block = '']) => block.split(/^\$ /m).slice(1))
  .map((example) => {
    const [command = '', ...printed] = example.split('\n');
    return { command, printed: printed.join('\n').trim() };
  });

/** The tokens of the chapter on access, whose examples have a service that asks for one. */
const [writer, reader] = [newToken('shop', 'write'), newToken('reports', 'read')];
const [, access = ''] = readme.split(/^### Access$/m);
const ofAccess = access.split(/^##/m)[0] ?? '';

let [app, guarded] = [] as unknown as [TestApp, TestApp];
beforeAll(async () => {
  const database = await emptyDatabase();
  const sql = connect(database, { max: 1, name: 'wallet-test' });
  await migrate(sql, sqlFolder);
  await sql.end();
  app = await startApp({ database });
  guarded = await startApp({ database, admission: [writer.token, reader.token] });
});
afterAll(() => Promise.all([app.stop(), guarded.stop()]));

test('its examples, run in their order, answer as printed', async () => {
  expect(examples.length).toBeGreaterThan(12);
  for (const { command, printed } of examples) {
    const { url } = ofAccess.includes(`$ ${command}\n`) ? guarded : app;
    const here = command.replaceAll('http://localhost:8192', url);
    const shell = Bun.spawn(['bash', '-c', here.replaceAll('curl ', 'curl -s ')], {
      env: { PATH: process.env.PATH, WRITER: writer.secret, READER: reader.secret },
    });
    expect(`$ ${command}\n${(await shell.stdout.text()).trimEnd()}`).toBe(
      `$ ${command}\n${printed}`,
    );
  }
}, 60_000);

describe('its text', () => {
  test('shows every refusal that a client of the wallets can meet', () => {
    const shown = Object.values(refusals).filter(({ status }) => ![408, 500, 503].includes(status));
    const messages = shown.map(({ message }) => message);
    expect(messages.filter((message) => !readme.includes(message))).toEqual([]);
  });

  test('names the same variables, with the same defaults, as config.env.example', () => {
    const example = readFileSync(join(projectRoot, 'config.env.example'), 'utf8');
    const variables = [...example.matchAll(/^#([A-Z_]+)=(.*)$/gm)];
    expect(variables.length).toBeGreaterThan(12);
    for (const [, name = '', fallback = ''] of variables) {
      const row = readme
        .split('\n')
        .find((line) => line.startsWith('|') && line.includes(`\`${name}\``));
      expect([name, row !== undefined]).toEqual([name, true]);
      if (name !== 'DATABASE_URL') expect(row).toContain(fallback);
    }
  });

  test('names only scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8'));
    const named = [...readme.matchAll(/bun run ([\w:]+)/g)].map(([, name = '']) => name);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });
});
