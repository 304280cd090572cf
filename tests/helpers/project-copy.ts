/** A copy of the project that a test may edit; what is installed is shared with the original. */
import { copyFile, cp, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { projectRoot } from '../../src/config.ts';
import { temporaryFolder } from './database.ts';

/** The copy's folder, which the caller removes. */
export async function copyProject(): Promise<string> {
  const copy = await temporaryFolder();
  for (const folder of ['src', 'sql']) {
    await cp(join(projectRoot, folder), join(copy, folder), { recursive: true });
  }
  for (const file of ['package.json', 'bunfig.toml']) {
    await copyFile(join(projectRoot, file), join(copy, file));
  }
  await symlink(join(projectRoot, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

/**
 * Replaces text in a file; returns a function that puts the file back.
 * @throws when the text is not in it.
 */
export async function saveEdit(file: string, from: string, to: string) {
  const text = await readFile(file, 'utf8');
  if (!text.includes(from)) throw new Error(`${file} has no "${from}"`);
  await writeFile(file, text.replace(from, to));
  return () => writeFile(file, text);
}
