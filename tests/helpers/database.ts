/**
 * One real PostgreSQL for the whole test run, embedded, in a temporary folder.
 * Tests share its database and keep apart by fresh wallet ids; those that need an empty database
 * make one of their own.
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../../src/config.ts';
import { connect, type Sql } from '../../src/database/connection.ts';
import { type EmbeddedDatabase, startEmbedded } from '../../src/database/embedded.ts';
import { migrate } from '../../src/database/migrations.ts';
import { waitUntilAnswers } from '../../src/database/readiness.ts';
import type { ServerAddress } from '../../src/server-address.ts';
import { silentLogger } from './logger.ts';

interface TestDatabase {
  directory: string;
  embedded: EmbeddedDatabase;
  sql: Sql;
}

export const sqlFolder = join(projectRoot, 'sql');

let running: Promise<TestDatabase> | undefined;

/** The shared database, migrated, and a client of it; started by the first who asks. */
export async function testDatabase(): Promise<{ address: ServerAddress; sql: Sql }> {
  running ??= start();
  const { embedded, sql } = await running;
  return { address: embedded.address, sql };
}

export async function stopTestDatabase(): Promise<void> {
  if (!running) return;
  const { directory, embedded, sql } = await running;
  running = undefined;
  await sql.end({ timeout: 1 });
  await embedded.stop();
  await rm(directory, { recursive: true, force: true });
}

/** A new, empty database on the shared server. */
export async function emptyDatabase(): Promise<ServerAddress> {
  const { address, sql } = await testDatabase();
  const name = `test_${crypto.randomUUID().replaceAll('-', '')}`;
  await sql.unsafe(`create database ${name}`);
  return { ...address, name };
}

/** A folder that the embedded server's user can enter, also when the tests run as root. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'wallet-test-'));
  await chmod(folder, 0o711);
  return folder;
}

async function start(): Promise<TestDatabase> {
  const directory = await temporaryFolder();
  const logger = silentLogger;
  const dataDirectory = join(directory, 'data');
  const embedded = await startEmbedded({ dataDirectory, connections: 150, logger });
  const sql = connect(embedded.address, { max: 4, name: 'wallet-test' });
  await waitUntilAnswers(sql, {
    timeoutMs: 20_000,
    signal: new AbortController().signal,
    logger,
  });
  await migrate(sql, sqlFolder);
  return { directory, embedded, sql };
}

let lastWalletId = BigInt(Date.now()) * 1_000_000n;

/** An id that no other test of this run uses. */
export function freshWalletId(): bigint {
  lastWalletId += 1n;
  return lastWalletId;
}

/** A wallet's row as it is stored; undefined when there is none. */
export async function storedBalance(id: bigint): Promise<bigint | undefined> {
  const { sql } = await testDatabase();
  const [row] = await sql<{ amount: bigint }[]>`select amount from wallets where id = ${id}`;
  return row?.amount;
}
