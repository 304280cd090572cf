/**
 * Locks a data folder for one supervisor.
 * Invariant: the kernel frees the lock when its holder dies, however it dies, so a stale lock
 * cannot exist. SQLite's exclusive file lock is used because it does that on every platform and
 * comes with the runtime.
 */
import { Database } from 'bun:sqlite';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { StartError } from '../start-error.ts';

/**
 * Takes the lock of a folder that exists and belongs to the data folder that the error names.
 * @returns a function that frees it.
 * @throws StartError when it is taken.
 */
export function lockDirectory(directory: string, dataDirectory = directory): () => void {
  const file = new Database(join(directory, 'lock'), { create: true });
  try {
    file.run('pragma busy_timeout = 0');
    file.run('begin exclusive');
  } catch (error) {
    file.close();
    if ((error as { code?: string }).code !== 'SQLITE_BUSY') throw error;
    throw new StartError(
      `DATA_DIR ${dataDirectory} is in use by another wallet service: stop it, or set another ` +
        'DATA_DIR',
    );
  }
  return () => file.close();
}

/** Whether a supervisor holds the folder. */
export function isLocked(directory: string): boolean {
  if (!existsSync(directory)) return false;
  try {
    lockDirectory(directory)();
    return false;
  } catch (error) {
    if (error instanceof StartError) return true;
    throw error;
  }
}
