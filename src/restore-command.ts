/**
 * `bun run restore FILE`: a backup, loaded into a database that holds nothing.
 * Invariant: the file is read to its end before the database is touched, so that a damaged one
 * costs nothing but the time to see it.
 */
import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import { createGunzip } from 'node:zlib';
import { type Config, sqlFolder } from './config.ts';
import { readBackup } from './database/backup-format.ts';
import { restore } from './database/restore.ts';
import { LASTING_TABLES } from './ledger/tables.ts';
import type { Logger } from './log.ts';
import { useDatabase } from './own-database.ts';
import { everyFewSeconds } from './progress.ts';
import { StartError } from './start-error.ts';

const CHUNK_BYTES = 131_072;

/** @throws StartError when the file is no whole backup, or the database is not empty. */
export async function runRestore(config: Config, logger: Logger, name: string): Promise<void> {
  const file = resolve(name);
  await check(file, logger);
  const report = everyFewSeconds(logger, 'restoring');
  const options = { tables: LASTING_TABLES, folder: sqlFolder, report };
  const rows = await useDatabase(config, logger, (sql) => restore(sql, textOf(file), options));
  logger.info(rows, 'restored; "bun run audit" proves that the books balance');
}

async function check(file: string, logger: Logger): Promise<void> {
  try {
    for await (const piece of readBackup(textOf(file))) {
      if (!('head' in piece)) continue;
      const { time, migrations } = piece.head;
      logger.info({ backedUpAt: time, migrations }, `reading ${file}`);
    }
  } catch (error) {
    const { syscall, message } = error as NodeJS.ErrnoException;
    const isPlain = syscall !== undefined || error instanceof StartError;
    const reason = isPlain ? message : `it is damaged, cut, or no backup (${message})`;
    throw new StartError(`${file} cannot be restored: ${reason}`);
  }
}

async function* textOf(file: string): AsyncGenerator<Buffer> {
  const packed = createReadStream(file, { highWaterMark: CHUNK_BYTES });
  const text = createGunzip({ chunkSize: CHUNK_BYTES });
  packed.on('error', (error) => text.destroy(error));
  try {
    yield* packed.pipe(text);
  } finally {
    packed.destroy();
  }
}
