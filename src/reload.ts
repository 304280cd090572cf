/**
 * A reload: new migrations, then every worker replaced by one of the code that is on disk now.
 * Invariant: whatever goes wrong, the workers that were there go on serving; settings, and the
 * supervisor itself, stay as they were started.
 */
import { isMigrating, NOT_MIGRATING } from './connection-migration.ts';
import type { ControlSocket } from './control-socket.ts';
import { prepareDatabase, type Servers } from './database-roles.ts';
import type { Supervision } from './supervisor.ts';
import type { WorkerKeeper } from './worker-keeper.ts';

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
  if (!isMigrating()) logger.warn(NOT_MIGRATING);
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
