/**
 * A reload: new migrations, then every worker replaced by one of the code that is on disk now.
 * Invariant: whatever goes wrong, the workers that were there go on serving; settings, and the
 * supervisor itself, stay as they were started.
 */
import { readFileSync } from 'node:fs';
import type { ControlSocket } from './control-socket.ts';
import { prepareDatabase, type Servers } from './database-roles.ts';
import type { Supervision } from './supervisor.ts';
import type { WorkerKeeper } from './worker-keeper.ts';

/** Whether the kernel hands connections that a worker had not accepted yet to its neighbours. */
const MIGRATE_FILE = '/proc/sys/net/ipv4/tcp_migrate_req';

/** Replaces the workers one by one, and tells whoever asked for it how that ended. */
export async function reload(
  keeper: WorkerKeeper,
  servers: Servers,
  control: ControlSocket,
  supervision: Supervision,
): Promise<void> {
  const { logger } = supervision;
  const began = performance.now();
  logger.info('reloading');
  if (!isMigrating()) {
    logger.warn(
      'connections that a worker has not accepted when it stops listening are reset: ' +
        'set net.ipv4.tcp_migrate_req=1',
    );
  }
  try {
    await prepareDatabase(servers, supervision);
    const isDone = await keeper.roll();
    if (isDone) logger.info({ tookMs: Math.round(performance.now() - began) }, 'reloaded');
    control.tell(isDone ? 'reloaded' : 'failed');
  } catch (err) {
    logger.error({ err }, 'cannot reload; the workers stay as they are');
    control.tell('failed');
  }
}

function isMigrating(): boolean {
  try {
    return readFileSync(MIGRATE_FILE, 'utf8').trim() === '1';
  } catch {
    return false;
  }
}
