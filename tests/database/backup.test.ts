/**
 * The text of a backup on its way out of a database and into another: what it holds, what is
 * refused, and that a refusal leaves the database as it was.
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
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BackupOptions, backUp } from '../../src/database/backup.ts';
import { endOfTableText, endText, headText, startText } from '../../src/database/backup-format.ts';
import { connect, type Sql } from '../../src/database/connection.ts';
import { migrate } from '../../src/database/migrations.ts';
import { restore } from '../../src/database/restore.ts';
import { LASTING_TABLES } from '../../src/ledger/tables.ts';
import { StartError } from '../../src/start-error.ts';
import { emptyDatabase, freshWalletId, sqlFolder, temporaryFolder } from '../helpers/database.ts';
import { until } from '../helpers/service.ts';
import { TestSlot } from '../ledger/flights.ts';

setDefaultTimeout(60_000);

let clients: Sql[] = [];
afterEach(async () => {
  await Promise.all(clients.map((sql) => sql.end({ timeout: 1 })));
  clients = [];
});

async function database(folder?: string): Promise<Sql> {
  const sql = connect(await emptyDatabase(), { max: 1, name: 'wallet-test-backup' });
  clients.push(sql);
  if (folder) await migrate(sql, folder);
  return sql;
}

const options = (folder = sqlFolder): BackupOptions => ({
  tables: LASTING_TABLES,
  folder,
  report: () => {},
});

async function textOf(sql: Sql, folder = sqlFolder): Promise<Buffer> {
  const chunks: Buffer[] = [];
  await backUp(sql, options(folder), async (text) => {
    for await (const chunk of text) chunks.push(chunk);
  });
  return Buffer.concat(chunks);
}

/** As a file is read: in chunks that end anywhere. */
async function* chunked(text: Buffer, bytes = 1000): AsyncGenerator<Buffer> {
  for (let at = 0; at < text.length; at += bytes) yield text.subarray(at, at + bytes);
}

const load = (sql: Sql, text: Buffer | string, folder = sqlFolder) =>
  restore(sql, chunked(Buffer.from(text)), options(folder));

/** All that is stored, times to the microsecond. */
async function contents(sql: Sql): Promise<string[]> {
  const tables = LASTING_TABLES.map(
    (table) => sql<{ row: string }[]>`
    select ${table} || row_to_json(t)::text || extract(microseconds from
      coalesce((to_jsonb(t)->>'created_at'), to_jsonb(t)->>'changed_at')::timestamptz) as row
    from ${sql(table)} as t`,
  );
  return (await Promise.all(tables)).flatMap((rows) => rows.map(({ row }) => row)).sort();
}

/** Why nothing was restored; checks that nothing was. */
async function refusal(sql: Sql, text: Buffer | string, folder = sqlFolder): Promise<string> {
  const error = await load(sql, text, folder).catch((thrown: Error) => thrown);
  expect(error).toBeInstanceOf(StartError);
  const left = await sql`select from pg_class where relnamespace = 'public'::regnamespace`;
  expect(left).toHaveLength(0);
  return (error as Error).message;
}

const KEYS = ['\\', '\\.', '\\N', '\\\\n', '"', "it's", '$$;--', '{,}', '%s', '`', '~'.repeat(255)];

/** Deposits and withdrawals with keys of every kind of character, and some that were refused. */
async function makeBooks(sql: Sql): Promise<void> {
  const slot = await new TestSlot(sql).register();
  for (const walletId of [freshWalletId(), freshWalletId()]) {
    for (const [at, key] of KEYS.entries()) {
      await slot.fly([
        {
          walletId,
          type: 'WITHDRAW',
          amount: 9_007_199_254_740_993n,
          key: `!${key}`.slice(0, 255),
        },
        { walletId, type: 'DEPOSIT', amount: 9_007_199_254_740_993n + BigInt(at), key },
        { walletId, type: 'DEPOSIT', amount: 1n },
      ]);
    }
  }
}

test('every table is either kept by a backup or means nothing after a restart', async () => {
  const sql = await database(sqlFolder);
  const tables = await sql<{ name: string }[]>`
    select relname as name from pg_class where relkind = 'r'
      and relnamespace = 'public'::regnamespace`;
  const kept = [...LASTING_TABLES, 'flight_slots', 'schema_files'];
  expect(tables.map(({ name }) => name).sort()).toEqual(kept.sort());
});

describe('what was backed up', () => {
  test('is restored as it was, whatever its keys', async () => {
    const [from, to] = [await database(sqlFolder), await database()];
    await makeBooks(from);
    const rows = await load(to, await textOf(from));
    expect(rows).toEqual({ wallets: 2, operations: 64, idempotency_keys: 44 });
    expect(await contents(to)).toEqual(await contents(from));
  });

  test('may be nothing', async () => {
    const [from, to] = [await database(sqlFolder), await database(sqlFolder)];
    const rows = await load(to, await textOf(from));
    expect(rows).toEqual({ wallets: 0, operations: 0, idempotency_keys: 0 });
  });

  test('does not depend on the settings of either server', async () => {
    const [from, to] = [await database(sqlFolder), await database()];
    await makeBooks(from);
    await from`set datestyle = 'SQL, DMY'`;
    await from`set timezone = 'Asia/Kathmandu'`;
    await to`set datestyle = 'SQL, MDY'`;
    await to`set timezone = 'America/Lima'`;
    await load(to, await textOf(from));
    for (const sql of [from, to]) await sql`set datestyle = 'ISO'`;
    await to`set timezone = 'Asia/Kathmandu'`;
    expect(await contents(to)).toEqual(await contents(from));
  });

  test('is one snapshot, whatever is written meanwhile', async () => {
    const [from, to] = [await database(sqlFolder), await database()];
    await makeBooks(from);
    const before = await contents(from);
    const writer = connect(
      { ...(await emptyDatabase()), name: String(from.options.database) },
      { max: 1, name: 'wallet-test-writer' },
    );
    clients.push(writer);
    const chunks: Buffer[] = [];
    await backUp(from, options(), async (text) => {
      for await (const chunk of text) {
        if (chunks.length === 1) await makeBooks(writer);
        chunks.push(chunk);
      }
    });
    await load(to, Buffer.concat(chunks));
    expect(await contents(to)).toEqual(before);
    expect((await contents(from)).length).toBeGreaterThan(before.length);
  });
});

describe('a backup of many rows', () => {
  const ROWS = 300_000;
  let from: Sql;
  let watcher: Sql;
  beforeAll(async () => {
    const address = await emptyDatabase();
    [from, watcher] = [1, 2].map(() => connect(address, { max: 1, name: 'wallet-test' })) as [
      Sql,
      Sql,
    ];
    await migrate(from, sqlFolder);
    await from`
      insert into operations
      select 7, n, 'DEPOSIT', 1, n, now() from generate_series(1, ${ROWS}::int) as n`;
  });
  afterAll(() => Promise.all([from, watcher].map((sql) => sql.end({ timeout: 1 }))));

  test('is written and loaded to the last row', async () => {
    const to = await database();
    expect(await load(to, await textOf(from))).toMatchObject({ operations: ROWS });
  });

  test('goes on behind a table whose last rows had to wait', async () => {
    const sql = await database(sqlFolder);
    for (const rows of [1000, 3000, 10_000, 30_000]) {
      await sql`truncate operations`;
      await sql`
        insert into operations
        select 7, n, 'DEPOSIT', 1, n, now() from generate_series(1, ${rows}::int) as n`;
      const work = backUp(sql, options(), async (text) => {
        for await (const _ of text) await sleep(20);
      });
      const late = sleep(10_000, 'it waits for ever', { ref: false });
      expect(await Promise.race([work, late])).toMatchObject({ operations: rows });
    }
  });

  test('makes the server wait for a slow disk, instead of filling the memory', async () => {
    const isWaiting = async () => {
      const [row] = await watcher<{ event: string }[]>`
        select wait_event as event from pg_stat_activity where query like 'copy operations%'`;
      return row?.event === 'ClientWrite';
    };
    let chunks = 0;
    await backUp(from, options(), async (text) => {
      for await (const _ of text) {
        chunks += 1;
        if (chunks === 5) await until(isWaiting, 'the server to wait');
      }
    });
    expect(chunks).toBeGreaterThan(50);
  });

  test('whose disk fails says so, and not how the transaction ended', async () => {
    const work = backUp(from, options(), async (text) => {
      for await (const _ of text) if (_.length > 10_000) throw new Error('the disk is full');
    });
    await expect(work).rejects.toThrow('the disk is full');
    // The connection is in the midst of a COPY and of no more use; a command ends with it.
    await from.end({ timeout: 0 });
    await watcher`
      select pg_terminate_backend(pid, 10_000) from pg_stat_activity
      where query like 'copy operations%' and pid <> pg_backend_pid()`;
    from = connect(
      { ...(await emptyDatabase()), name: String(watcher.options.database) },
      { max: 1, name: 'wallet-test' },
    );
  });
});

describe('a restore is refused, and changes nothing,', () => {
  test('where a row is there already', async () => {
    const [from, to] = [await database(sqlFolder), await database(sqlFolder)];
    await makeBooks(from);
    const text = await textOf(from);
    for (const keep of LASTING_TABLES) {
      await to`truncate wallets, operations, idempotency_keys`;
      await makeBooks(to);
      for (const table of LASTING_TABLES) if (table !== keep) await to`delete from ${to(table)}`;
      const before = await contents(to);
      const reason = `the database is not empty: there are ${keep} in it`;
      await expect(load(to, text)).rejects.toThrow(reason);
      expect(await contents(to)).toEqual(before);
    }
  });

  test('where the text is cut, anywhere', async () => {
    const [from, to] = [await database(sqlFolder), await database()];
    await makeBooks(from);
    const text = await textOf(from);
    const ends = Array.from({ length: 40 }, (_, n) => Math.floor((text.length * n) / 40));
    for (const end of [...ends, text.length - 1]) {
      expect(await refusal(to, text.subarray(0, end))).toBe('the backup is damaged or cut');
    }
  });

  test('where rows are missing, or too many', async () => {
    const [from, to] = [await database(sqlFolder), await database()];
    await makeBooks(from);
    const text = (await textOf(from)).toString();
    const lines = text.split('\n');
    const row = lines.findIndex((line) => line.startsWith('copy operations')) + 2;
    for (const wrong of [
      lines.toSpliced(row, 1).join('\n'),
      lines.toSpliced(row, 0, lines[row] as string).join('\n'),
      `${text}\n`,
      text.replace(/"operations":\d+/, '"operations":1'),
    ]) {
      expect(wrong).not.toBe(text);
      await refusal(to, wrong);
    }
  });

  const garbage = [
    '',
    '\n',
    'SELECT 1;\n',
    '-- Backup of a wallet service, format 2\n',
    'x'.repeat(3e6),
  ];
  test.each(garbage)('where the text is no backup: %#', async (text) => {
    await refusal(await database(), text);
  });
});

/** A text that is whole, with rows that no database gave. */
const made = (rows: string[]) =>
  headText({ time: '', migrations: ['0001_wallets.sql', '0002_operations.sql'] }) +
  startText({ table: 'wallets', columns: 'id, amount, version, changed_at' }) +
  rows.map((row) => `${row}\n`).join('') +
  endOfTableText +
  endText({ wallets: rows.length });

const good = (id: number) => `${id}\t1\t1\t2026-01-01 00:00:00+00`;

describe('a whole backup is refused, and changes nothing,', () => {
  test('where PostgreSQL does not take a row: the first, the last, one of many', async () => {
    const many = Array.from({ length: 200_000 }, (_, id) => good(id));
    const sql = await database();
    for (const wrong of [['wrong'], [good(1), good(1)], ['wrong', ...many], [...many, good(5)]]) {
      expect(await refusal(sql, made(wrong))).toContain('PostgreSQL refuses a row of wallets');
    }
    expect(await load(sql, made(many))).toEqual({ wallets: 200_000 });
  });

  test('where the backup knows a migration that this release does not', async () => {
    const text = headText({ time: '', migrations: ['0001_wallets.sql', '9999_later.sql'] });
    expect(await refusal(await database(), text + endText({}))).toStartWith(
      'the backup has migrations that this release does not know (9999_later.sql): ',
    );
  });

  test('where the database has a migration that the backup lacks', async () => {
    const sql = await database(sqlFolder);
    await expect(load(sql, made([good(1)]))).rejects.toThrow(
      'the database has migrations that the backup lacks (0003_flight_slots.sql, 0004_idempotency',
    );
    expect(await contents(sql)).toEqual([]);
  });
});

test('a backup of an older release is restored and then migrated', async () => {
  const folder = await temporaryFolder();
  await cp(sqlFolder, folder, { recursive: true });
  for (const later of ['0004_idempotency.sql', 'apply_operations.sql', 'version_at.sql']) {
    await rm(join(folder, later));
  }
  const [from, to, current] = [await database(folder), await database(), await database(sqlFolder)];
  await from`insert into wallets values (1, 42, 1, now())`;
  await from`insert into operations values (1, 1, 'DEPOSIT', 42, 42, now())`;
  const text = await textOf(from);
  expect(text.toString()).not.toContain('0004_idempotency');
  expect(await load(to, text)).toEqual({ wallets: 1, operations: 1 });
  const [row] = await to`select balance, idempotency_key from operations`;
  expect(row).toEqual({ balance: 42n, idempotency_key: null });
  const files = (sql: Sql) => sql`select name, hash from schema_files order by name`;
  expect(await files(to)).toEqual(await files(current));
  await rm(folder, { recursive: true });
});
