/**
 * `bun run dev`: the service, started anew whenever a file in src or sql is saved, over a database
 * that keeps running. Invariant: exactly one service runs at a time, and none after `stop`. What is
 * running here (this file and the embedded database) is new only at the next `bun run dev`.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectRoot } from './config.ts';
import { serversOf } from './database-roles.ts';
import { databaseVariables, startOwnDatabase } from './own-database.ts';
import type { Environment } from './settings.ts';
import type { Supervision } from './supervisor.ts';

const WATCHED = ['src', 'sql', 'package.json'];

/** Looking is cheap, and unlike notifications it works on every kind of mounted volume. */
const LOOK_MS = 100;

/** A half-sent request must not hold up what was saved. */
const QUICK = { DRAIN_MS: '100' };

/** Runs until `stop`; resolves when all it started has ended. */
export async function develop({ config, environment, logger, stop, force }: Supervision) {
  const embedded = config.server ? undefined : await startOwnDatabase(config, logger);
  force.addEventListener('abort', () => embedded?.kill());
  const servers = embedded && serversOf(config, embedded);
  const variables = servers ? databaseVariables(servers.service, servers.owner) : {};
  try {
    while (!stop.aborted) {
      const seen = await fingerprint();
      const service = spawnService({ ...environment, ...variables, ...QUICK });
      service.exited.then((code) => logger.info({ code }, 'the service ended'));
      const forced = () => service.kill('SIGKILL');
      force.addEventListener('abort', forced);
      await untilChanged(seen, stop);
      if (!stop.aborted) logger.info('a file was saved; starting anew');
      service.kill('SIGTERM');
      await service.exited;
      force.removeEventListener('abort', forced);
    }
  } finally {
    await embedded?.stop();
  }
}

/** A supervisor of its own. The channel between us ends it when we die. */
function spawnService(environment: Environment): Bun.Subprocess {
  // Its variables are complete: an empty file keeps it from reading another.
  const words = ['start', '--config', '/dev/null'];
  return Bun.spawn([process.execPath, join(import.meta.dir, 'main.ts'), ...words], {
    env: environment,
    stdio: ['ignore', 'inherit', 'inherit'],
    ipc: () => {},
  });
}

async function untilChanged(seen: string, stop: AbortSignal): Promise<void> {
  while (!stop.aborted && (await fingerprint()) === seen) {
    await sleep(LOOK_MS, undefined, { signal: stop }).catch(() => {});
  }
}

/** Names and times of all watched files. */
async function fingerprint(): Promise<string> {
  const lines = await Promise.all(
    WATCHED.map(async (name) => {
      const path = join(projectRoot, name);
      const below = await readdir(path, { recursive: true }).catch(() => []);
      return Promise.all(['', ...below.sort()].map((file) => timeOf(join(path, file))));
    }),
  );
  return lines.flat().join('\n');
}

/** A file that is being replaced may be gone for a moment. */
async function timeOf(path: string): Promise<string> {
  const time = await stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
  return `${path} ${time}`;
}
