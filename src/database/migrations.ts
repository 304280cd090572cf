/**
 * Brings a database to this code's schema: numbered migrations once and in order, functions
 * whenever their text changed.
 * Invariant: one transaction under one lock, so instances that start together migrate once and a
 * failure leaves the schema as it was.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type postgres from 'postgres';
import { StartError } from '../start-error.ts';
import type { Sql } from './connection.ts';

interface SqlFile {
  name: string;
  text: string;
  hash: string;
}

/** `0001_wallets.sql` is a migration; a name without a number holds a function. */
const MIGRATION = /^\d{4}_\w+\.sql$/;

/** Names the lock that all instances take to migrate: "wallet" in ASCII. */
const MIGRATION_LOCK = 0x77616c6c6574;

/**
 * Applies what is missing from the folder of SQL files.
 * @returns the names of the files applied now, in order.
 * @throws StartError when the database is newer than this code, an applied migration was edited,
 *   or a file fails. In each case nothing was changed.
 */
export async function migrate(sql: Sql, folder: string): Promise<string[]> {
  return sql.begin((transaction) => migrateWithin(transaction, folder));
}

/**
 * The same in a transaction of the caller's.
 * @param only the names of the files to apply; without it, all.
 */
export async function migrateWithin(
  transaction: postgres.TransactionSql,
  folder: string,
  only?: string[],
): Promise<string[]> {
  const files = await readSqlFiles(folder);
  await transaction`select pg_advisory_xact_lock(${MIGRATION_LOCK}::bigint)`;
  await fixSearchPath(transaction);
  await transaction`
    create table if not exists schema_files (
      name text primary key,
      hash text not null,
      applied_at timestamptz not null default now()
    )`;
  const applied = await readApplied(transaction);
  refuseNewerSchema([...applied.keys()], files);
  const wanted = files.filter(({ name }) => only?.includes(name) ?? true);
  const pending = wanted.filter((file) => isPending(file, applied.get(file.name)));
  for (const file of pending) await apply(transaction, file);
  return pending.map(({ name }) => name);
}

/**
 * The numbered migrations of a database, and those that it still lacks.
 * @throws StartError when it has none, or some that this code does not know.
 */
export async function readMigrations(sql: postgres.ISql, folder: string) {
  const [found] = await sql<{ isThere: boolean }[]>`
    select to_regclass('schema_files') is not null as "isThere"`;
  if (!found?.isThere) {
    throw new StartError(
      'the database has no tables of this service: start the service once first',
    );
  }
  const files = (await readSqlFiles(folder)).filter(({ name }) => MIGRATION.test(name));
  const names = [...(await readApplied(sql)).keys()].filter((name) => MIGRATION.test(name)).sort();
  refuseNewerSchema(names, files);
  const pending = files.map(({ name }) => name).filter((name) => !names.includes(name));
  return { applied: names, pending };
}

/** @throws StartError when the database lacks a migration. */
export async function requireMigrated(sql: postgres.ISql, folder: string): Promise<void> {
  const { pending } = await readMigrations(sql, folder);
  if (pending.length === 0) return;
  throw new StartError(`the database lacks ${pending.join(', ')}: start the service once first`);
}

/**
 * Functions that run with their owner's rights keep the search_path that is set while they are made
 * (`set search_path from current`). Last in it, temporary tables of a caller shadow nothing.
 */
async function fixSearchPath(transaction: postgres.TransactionSql): Promise<void> {
  await transaction`
    select set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)`;
}

async function readSqlFiles(folder: string): Promise<SqlFile[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql'));
  // Migrations first: digits sort before letters, and functions need the tables.
  return Promise.all(
    names.sort().map(async (name) => {
      const text = await readFile(join(folder, name), 'utf8');
      return { name, text, hash: createHash('sha256').update(text).digest('hex') };
    }),
  );
}

async function readApplied(sql: postgres.ISql): Promise<Map<string, string>> {
  const rows = await sql<{ name: string; hash: string }[]>`select name, hash from schema_files`;
  return new Map(rows.map(({ name, hash }) => [name, hash]));
}

function refuseNewerSchema(applied: string[], files: SqlFile[]): void {
  const known = new Set(files.map(({ name }) => name));
  const newer = applied.filter((name) => MIGRATION.test(name) && !known.has(name));
  if (newer.length === 0) return;
  throw new StartError(
    `the database has migrations that this release does not know (${newer.join(', ')}): ` +
      'start the release that made them, or a newer one',
  );
}

function isPending(file: SqlFile, appliedHash: string | undefined): boolean {
  if (appliedHash === undefined) return true;
  if (appliedHash === file.hash) return false;
  if (!MIGRATION.test(file.name)) return true;
  throw new StartError(
    `${file.name} was edited after it was applied: restore it and add a new migration instead`,
  );
}

async function apply(transaction: postgres.TransactionSql, file: SqlFile): Promise<void> {
  await transaction.unsafe(file.text).catch((error: Error & { position?: string }) => {
    const line = file.text.slice(0, Number(error.position ?? 1)).split('\n').length;
    throw new StartError(`sql/${file.name}, line ${line}: ${error.message}`);
  });
  await transaction`
    insert into schema_files (name, hash) values (${file.name}, ${file.hash})
    on conflict (name) do update set hash = excluded.hash, applied_at = now()`;
}
