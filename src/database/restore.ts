/**
 * Loads a backup into a database that holds nothing.
 * Invariant: one transaction, in which nobody else can write and in which the tables were seen to
 * be empty: it adds all of the backup, or changes nothing.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type postgres from 'postgres';
import { StartError } from '../start-error.ts';
import { arrayText } from './array-text.ts';
import {
  type BackupHead,
  countRows,
  type Rows,
  readBackup,
  type TableStart,
} from './backup-format.ts';
import type { Sql } from './connection.ts';
import { migrateWithin, readMigrations } from './migrations.ts';

export interface RestoreOptions {
  /** All that may be in a backup, in the order in which they are locked. */
  tables: string[];
  /** Holds the migrations of this release. */
  folder: string;
  /** Called after each chunk with the sums so far. */
  report: (progress: { table: string; rows: number }) => void;
}

type Pieces = ReturnType<typeof readBackup>;

/**
 * Loads the text of a backup, and migrates what it is older than this release.
 * @returns the rows of each table.
 * @throws StartError when the database holds something or is newer than the backup, or when the
 *   backup is newer than this release or damaged. In each case nothing was changed.
 */
export async function restore(
  sql: Sql,
  text: AsyncIterable<Buffer>,
  options: RestoreOptions,
): Promise<Rows> {
  const rows = await sql.begin(async (transaction) => {
    const pieces = readBackup(text);
    const loaded: Rows = {};
    let tables: string[] = [];
    for await (const piece of pieces) {
      if ('head' in piece) tables = await makeTables(transaction, piece.head, options);
      if (!('start' in piece)) continue;
      const { start } = piece;
      if (!tables.includes(start.table)) throw new StartError(`unknown table ${start.table}`);
      loaded[start.table] = await load(transaction, start, pieces, options.report);
    }
    await migrateWithin(transaction, options.folder);
    return loaded;
  });
  await sql.unsafe(`analyze ${Object.keys(rows).join(', ')}`);
  return rows;
}

/** Brings the schema to that of the backup; @returns the tables, locked and empty. */
async function makeTables(
  transaction: postgres.TransactionSql,
  head: BackupHead,
  { tables, folder }: RestoreOptions,
): Promise<string[]> {
  // Before migrations too, which would hold up a service that runs.
  await lockEmpty(transaction, tables);
  await migrateWithin(transaction, folder, head.migrations);
  const { applied, pending } = await readMigrations(transaction, folder);
  const unknown = head.migrations.filter((name) => !applied.includes(name));
  if (unknown.length > 0) {
    throw new StartError(
      `the backup has migrations that this release does not know (${unknown.join(', ')}): ` +
        'restore it with the release that made it, or a newer one',
    );
  }
  const extra = applied.filter((name) => !head.migrations.includes(name));
  if (extra.length > 0) {
    throw new StartError(
      `the database has migrations that the backup lacks (${extra.join(', ')}): restore it into ` +
        'a new database, in which no service was started yet',
    );
  }
  if (pending.some((name) => head.migrations.includes(name))) throw new Error('Bug: not migrated');
  return lockEmpty(transaction, tables);
}

/** Keeps writers out of the tables that are there until the end of the transaction. */
async function lockEmpty(transaction: postgres.TransactionSql, tables: string[]) {
  const found = await transaction<{ name: string }[]>`
    select name from unnest(${arrayText(tables)}::text[]) with ordinality as t (name, place)
    where to_regclass(name) is not null order by place`;
  const names = found.map(({ name }) => name);
  for (const name of names) {
    await transaction.unsafe(`lock table ${name} in exclusive mode`);
    const [row] = await transaction.unsafe(`select from ${name} limit 1`);
    if (row) {
      throw new StartError(
        `the database is not empty: there are ${name} in it; restore into a new one`,
      );
    }
  }
  return names;
}

/** @returns how many rows the table has then. */
async function load(
  transaction: postgres.TransactionSql,
  { table, columns }: TableStart,
  pieces: Pieces,
  report: RestoreOptions['report'],
): Promise<number> {
  const copy = await transaction.unsafe(`copy ${table} (${columns}) from stdin`).writable();
  let failure: Error | undefined;
  copy.on('error', (error) => {
    failure ??= new StartError(`PostgreSQL refuses a row of ${table}: ${error.message}`);
  });
  let rows = 0;
  try {
    for await (const data of dataOf(pieces)) {
      const { promise, resolve } = Promise.withResolvers<Error | null | undefined>();
      copy.write(data, resolve);
      const error = await promise;
      if (error) throw error;
      rows += countRows(data);
      report({ table, rows });
    }
  } catch (error) {
    // Else the driver takes no other statement, and so no rollback.
    copy.destroy();
    throw failure ?? error;
  }
  copy.end();
  // The driver tells nobody of an error that comes after the last row, and it takes the next
  // statement only when that row is on its way, which is so in the next turn.
  await nextTurn();
  const [counted] = await transaction
    .unsafe<{ count: number }[]>(`select count(*)::float8 as count from ${table}`)
    .catch(() => {
      throw new StartError(`PostgreSQL refuses a row of ${table}, and its log says which`);
    });
  if (counted?.count !== rows) throw new Error(`Bug: ${counted?.count} of ${rows} rows`);
  return rows;
}

async function* dataOf(pieces: Pieces): AsyncGenerator<Buffer> {
  for (;;) {
    const { value } = await pieces.next();
    if (!value || !('data' in value)) throw new Error('Bug: a table without an end');
    if (value.data === null) return;
    yield value.data;
  }
}
