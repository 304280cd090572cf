/**
 * Migrations on real, empty databases, from temporary copies of the sql folder.
 * After each refusal and failure the stored schema is compared with the one before.
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, type Sql } from '../../src/database/connection.ts';
import { migrate } from '../../src/database/migrations.ts';
import { StartError } from '../../src/start-error.ts';
import { emptyDatabase, sqlFolder, temporaryFolder } from '../helpers/database.ts';

const firstMigration = '0001_wallets.sql';
const probe = (name: string, value: number) =>
  `create or replace function ${name}() returns int language sql as 'select ${value}';`;

let allFiles: string[];
let folder: string;
let clients: Sql[] = [];
let sql: Sql;
let newClient: () => Sql;

beforeEach(async () => {
  folder = await temporaryFolder();
  await cp(sqlFolder, folder, { recursive: true });
  await write('probe.sql', probe('probe', 1));
  await write('twin.sql', probe('twin', 1));
  allFiles = (await readdir(folder)).sort();
  const address = await emptyDatabase();
  newClient = () => {
    const client = connect(address, { max: 1, name: 'wallet-test-migrations' });
    clients.push(client);
    return client;
  };
  sql = newClient();
});

afterEach(async () => {
  await Promise.all(clients.map((client) => client.end({ timeout: 1 })));
  clients = [];
  await rm(folder, { recursive: true });
});

const write = (name: string, text: string) => writeFile(join(folder, name), text);

async function append(name: string, text: string): Promise<void> {
  await write(name, (await readFile(join(folder, name), 'utf8')) + text);
}

/** All that migrations made: each object, with the transaction that last wrote it. */
async function schema(): Promise<{ name: string }[]> {
  const [{ recorded } = { recorded: null }] = await sql<{ recorded: string | null }[]>`
    select to_regclass('schema_files')::text as recorded`;
  const files = recorded
    ? await sql<{ name: string }[]>`select name, hash, applied_at::text from schema_files`
    : [];
  const objects = await sql<{ name: string }[]>`
    select proname::text as name, xmin::text as written from pg_proc
      where pronamespace = 'public'::regnamespace
    union all
    select relname::text, xmin::text from pg_class where relnamespace = 'public'::regnamespace
    order by 1`;
  return [...files, ...objects];
}

async function refused(expected: RegExp): Promise<void> {
  const before = await schema();
  const error = await migrate(sql, folder).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(StartError);
  expect((error as Error).message).toMatch(expected);
  expect(await schema()).toEqual(before);
}

describe('an empty database', () => {
  test('gets every file, migrations first', async () => {
    expect(await migrate(sql, folder)).toEqual(allFiles);
    const names = (await schema()).map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['wallets', 'probe', 'twin', ...allFiles]));
  });

  test('is migrated once by five that start at the same time', async () => {
    const applied = await Promise.all(
      Array.from({ length: 5 }, () => migrate(newClient(), folder)),
    );
    expect(applied.sort((a, b) => b.length - a.length)).toEqual([allFiles, [], [], [], []]);
  });

  test('stays empty when a file fails', async () => {
    await write('9002_good.sql', 'create table good (id int);');
    await write('9003_bad.sql', 'create table bad (id int);\n\nselect nothing from;');
    await refused(/^sql\/9003_bad\.sql, line 3: syntax error at or near ";"$/);
    expect(await schema()).toEqual([]);
    await write('9003_bad.sql', 'create table bad (id int);');
    expect(await migrate(sql, folder)).toHaveLength(allFiles.length + 2);
  });
});

describe('a migrated database', () => {
  beforeEach(() => migrate(sql, folder));

  test('is left alone when nothing is new', async () => {
    const before = await schema();
    expect(await migrate(sql, folder)).toEqual([]);
    expect(await schema()).toEqual(before);
  });

  test('gets a new migration, once', async () => {
    await write('9002_more.sql', 'create table more (id int);');
    expect(await migrate(sql, folder)).toEqual(['9002_more.sql']);
    expect(await migrate(sql, folder)).toEqual([]);
  });

  test('gets a function again whose text changed, and not the others', async () => {
    const before = await schema();
    await write('probe.sql', probe('probe', 2));
    expect(await migrate(sql, folder)).toEqual(['probe.sql']);
    const [row] = await sql`select probe(), twin()`;
    expect(row).toEqual({ probe: 2, twin: 1 });
    const others = (objects: { name: string }[]) =>
      objects.filter(({ name }) => !name.startsWith('probe'));
    expect(others(await schema())).toEqual(others(before));
  });

  test('keeps its functions when one of the changed ones fails', async () => {
    await append('probe.sql', '-- changed');
    await append('twin.sql', 'select 1 / 0;');
    await refused(/^sql\/twin\.sql, line 1: division by zero$/);
  });

  test('refuses an edited migration and changes nothing', async () => {
    await append(firstMigration, '-- edited');
    await append('probe.sql', '-- changed');
    await write('9002_more.sql', 'create table more (id int);');
    await refused(/^0001_wallets\.sql was edited after it was applied: .*new migration/);
  });

  test('refuses code that is older than it and changes nothing', async () => {
    await write('9002_more.sql', 'create table more (id int);');
    await migrate(sql, folder);
    await rm(join(folder, '9002_more.sql'));
    await append('probe.sql', '-- changed');
    await refused(/does not know \(9002_more\.sql\): start the release/);
  });

  test('accepts code that no longer has one of its functions', async () => {
    await rm(join(folder, 'probe.sql'));
    expect(await migrate(sql, folder)).toEqual([]);
  });
});
