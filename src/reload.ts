/**
 * Reloads: new migrations, then every worker replaced by one of the code that is on disk now.
 * Invariant: whatever goes wrong, the workers that were there go on serving. One reload runs at a
 * time; all that are asked for meanwhile are one more, because they may mean newer code. Settings,
 * and the supervisor itself, stay as they were started.
 */
import { isMigrating, NOT_MIGRATING } from './connection-migration.ts';
import type { ControlSocket } from './control-socket.ts';
import { prepareDatabase, type Servers } from './database-roles.ts';
import type { Supervision } from './supervisor.ts';
import type { WorkerKeeper } from './worker-keeper.ts';

/** Does the reloads of one service. */
export class Reloader {
  readonly #keeper: WorkerKeeper;
  readonly #servers: Servers;
  readonly #control: ControlSocket;
  readonly #supervision: Supervision;
  #isWanted = false;
  #isRunning = false;

  constructor(
    keeper: WorkerKeeper,
    servers: Servers,
    control: ControlSocket,
    supervision: Supervision,
  ) {
    this.#keeper = keeper;
    this.#servers = servers;
    this.#control = control;
    this.#supervision = supervision;
  }

  /** Asks for a reload; whoever waits at the control socket is told how it ended. */
  async ask(): Promise<void> {
    this.#isWanted = true;
    if (this.#isRunning) return;
    this.#isRunning = true;
    while (this.#isWanted && !this.#supervision.stop.aborted) {
      this.#isWanted = false;
      const tell = this.#control.listeners();
      tell((await this.#reload()) ? 'reloaded' : 'failed');
    }
    this.#isRunning = false;
  }

  async #reload(): Promise<boolean> {
    const { logger, stop } = this.#supervision;
    const began = performance.now();
    logger.info('reloading');
    if (!isMigrating()) logger.warn(NOT_MIGRATING);
    try {
      await prepareDatabase(this.#servers, this.#supervision);
      const isDone = await this.#keeper.roll();
      if (isDone) logger.info({ tookMs: Math.round(performance.now() - began) }, 'reloaded');
      return isDone;
    } catch (err) {
      if (!stop.aborted) logger.error({ err }, 'cannot reload; the workers stay as they are');
      return false;
    }
  }
}
