/**
 * `bun run backup FILE`: all that the service must keep, in one file, while it runs or not.
 * Invariant: a file of that name is a whole backup that is on the disk; until then it has another
 * name. None is ever overwritten.
 */
import { createWriteStream, existsSync } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { type Config, sqlFolder } from './config.ts';
import { backUp } from './database/backup.ts';
import { LASTING_TABLES } from './ledger/tables.ts';
import type { Logger } from './log.ts';
import { useDatabase } from './own-database.ts';
import { everyFewSeconds } from './progress.ts';
import { StartError } from './start-error.ts';

/** Level 3 is as small as 6 here in half its time, and a third smaller than 1 (`zlib`, 57 MB). */
const GZIP = { level: 3, chunkSize: 131_072 };

/** @throws StartError when there is such a file already, or nothing to back up. */
export async function runBackup(config: Config, logger: Logger, name: string): Promise<void> {
  const file = resolve(name);
  refuseExisting(file);
  const partial = `${file}.partial-${crypto.randomUUID()}`;
  const report = everyFewSeconds(logger, 'backing up');
  const options = { tables: LASTING_TABLES, folder: sqlFolder, report };
  try {
    const rows = await useDatabase(config, logger, (sql) =>
      backUp(sql, options, (text) => writeFile(partial, text)),
    );
    refuseExisting(file);
    await rename(partial, file);
    await flush(dirname(file));
    logger.info({ ...rows, bytes: (await stat(file)).size }, `backed up to ${file}`);
  } finally {
    await rm(partial, { force: true });
  }
}

function refuseExisting(file: string): void {
  if (existsSync(file)) throw new StartError(`${file} exists already: name another file`);
}

async function writeFile(path: string, text: AsyncIterable<Buffer>): Promise<void> {
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600, flush: true });
  await pipeline(text, createGzip(GZIP), file).catch((error: NodeJS.ErrnoException) => {
    if (error.syscall === undefined) throw error;
    throw new StartError(`cannot write ${path}: ${error.message}`);
  });
}

/** So that a file's new name is on the disk. */
async function flush(folder: string): Promise<void> {
  const handle = await open(folder);
  await handle.sync();
  await handle.close();
}
