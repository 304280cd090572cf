/** What the figures were taken on: without it they say nothing. */
import { arch, cpus, platform, release, totalmem } from 'node:os';
import { connect } from '../../src/database/connection.ts';
import type { ServerAddress } from '../../src/server-address.ts';
import type { Stage } from './stage.ts';

export interface Machine {
  processor: string;
  cores: number;
  memoryGiB: number;
  system: string;
  /** That holds the database. A commit on one in memory (tmpfs) says nothing. */
  fileSystem: string;
  bun: string;
  postgresql: string;
  generator: string;
}

/** Describes this machine and the versions at work. */
export async function describeMachine(
  stage: Stage,
  server: ServerAddress,
  generator: string,
): Promise<Machine> {
  const sql = connect(server, { max: 1, name: 'wallet-bench' });
  const [row] = await sql<{ version: string }[]>`
    select current_setting('server_version') as version`;
  await sql.end({ timeout: 1 });
  const isLinux = platform() === 'linux';
  const fileSystem = isLinux
    ? await stage.run(['stat', '--file-system', '--format=%T', stage.folder])
    : 'unknown';
  return {
    processor: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()} ${arch()}`,
    fileSystem: fileSystem.trim(),
    bun: Bun.version,
    postgresql: row?.version ?? 'unknown',
    generator,
  };
}
