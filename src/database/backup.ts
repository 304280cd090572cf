/**
 * Reads tables out of a database as the text of a backup.
 * Invariant: all of it is one snapshot, so that what was committed together is in it together; it
 * locks nothing that the service needs.
 */
import type { Readable } from 'node:stream';
import type postgres from 'postgres';
import {
  countRows,
  endOfTableText,
  endText,
  headText,
  type Rows,
  startText,
} from './backup-format.ts';
import type { Sql } from './connection.ts';
import { readMigrations } from './migrations.ts';

export interface BackupOptions {
  /** In the order in which they are written; one that is not there yet is left out. */
  tables: string[];
  /** Holds the migrations of this release. */
  folder: string;
  /** Called after each chunk with the sums so far. */
  report: (progress: { table: string; rows: number }) => void;
}

/** Chunks are gathered to this size: a row is 70 bytes, too little for each step on its way. */
const CHUNK_BYTES = 131_072;

/** Whatever the server's own settings are, the text is the same. */
const SETTINGS =
  "set local datestyle = 'ISO'; set local timezone = 'UTC'; set local lock_timeout = 0";

/**
 * Gives the text of a backup to `write`, which resolves when it has taken all of it.
 * @returns the rows of each table.
 * @throws StartError when the database has no tables, or ones that are newer than this release.
 */
export async function backUp(
  sql: Sql,
  options: BackupOptions,
  write: (text: AsyncIterable<Buffer>) => Promise<void>,
): Promise<Rows> {
  const rows: Rows = {};
  let failure: unknown;
  const work = sql.begin('isolation level repeatable read read only', async (transaction) => {
    await transaction.unsafe(SETTINGS);
    await write(textOf(transaction, options, rows)).catch((error) => {
      failure = error;
      throw error;
    });
  });
  // A rollback in the midst of a COPY fails as well, and must not hide why.
  await work.catch((error) => {
    throw failure ?? error;
  });
  return rows;
}

async function* textOf(
  transaction: postgres.TransactionSql,
  { tables, folder, report }: BackupOptions,
  rows: Rows,
): AsyncGenerator<Buffer> {
  const { applied: migrations } = await readMigrations(transaction, folder);
  yield Buffer.from(headText({ time: new Date().toISOString(), migrations }));
  for (const table of tables) {
    const columns = await columnsOf(transaction, table);
    if (columns === null) continue;
    rows[table] = 0;
    yield Buffer.from(startText({ table, columns }));
    const copy = await transaction.unsafe(`copy ${table} (${columns}) to stdout`).readable();
    for await (const data of gathered(copy)) {
      rows[table] += countRows(data);
      report({ table, rows: rows[table] });
      yield data;
    }
    // The driver leaves its socket paused if the last rows filled the stream.
    copy._read(0);
    yield Buffer.from(endOfTableText);
  }
  yield Buffer.from(endText(rows));
}

/** As they stand in a COPY; null if there is no such table. */
async function columnsOf(transaction: postgres.TransactionSql, table: string) {
  const [found] = await transaction<{ columns: string | null }[]>`
    select string_agg(quote_ident(attname), ', ' order by attnum) as columns
    from pg_attribute
    where attrelid = to_regclass(${table}) and attnum > 0 and not attisdropped
      and attgenerated = ''`;
  return found?.columns ?? null;
}

async function* gathered(stream: Readable): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of stream) {
    parts.push(part);
    bytes += part.length;
    if (bytes < CHUNK_BYTES) continue;
    yield Buffer.concat(parts);
    [parts, bytes] = [[], 0];
  }
  if (bytes > 0) yield Buffer.concat(parts);
}
