/**
 * Starts worker processes, replaces those that die, and ends them.
 * Invariant: after `stop` or `kill` no worker is left and none is started.
 */
import { join } from 'node:path';
import { keepAlive } from './keep-alive.ts';
import type { Logger } from './log.ts';
import type { Environment } from './settings.ts';

/** Given to a worker beyond its own limit for draining before it is killed. */
const DRAIN_MARGIN_MS = 2000;

/** The workers of one service. */
export class WorkerKeeper {
  readonly #environment: Environment;
  readonly #logger: Logger;
  readonly #workers = new Set<Bun.Subprocess>();
  readonly #stopping = new AbortController();
  readonly #kept: Promise<void>[] = [];

  /** @param environment the variables that a worker reads its configuration from. */
  constructor(environment: Environment, logger: Logger) {
    this.#environment = environment;
    this.#logger = logger;
  }

  /** Starts `count` workers; resolves when each has listened for the first time. */
  async start(count: number): Promise<void> {
    const ready = Array.from({ length: count }, () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#kept.push(keepAlive(() => this.#live(resolve), this.#stopping.signal));
      return promise;
    });
    await Promise.all(ready);
  }

  /** Lets every worker drain for `drainMs`, kills what is left after that, and awaits their end. */
  async stop(drainMs: number): Promise<void> {
    this.#stopping.abort();
    for (const worker of this.#workers) worker.kill('SIGTERM');
    const force = setTimeout(() => this.kill(), drainMs + DRAIN_MARGIN_MS);
    await Promise.all(this.#kept);
    clearTimeout(force);
  }

  /** Ends every worker at once; what they were doing is decided by the database alone. */
  kill(): void {
    this.#stopping.abort();
    for (const worker of this.#workers) worker.kill('SIGKILL');
  }

  async #live(onReady: () => void): Promise<void> {
    const worker = this.#spawn(onReady);
    await worker.exited;
    this.#workers.delete(worker);
    if (this.#stopping.signal.aborted) return;
    const { pid, exitCode, signalCode } = worker;
    this.#logger.error({ worker: pid, exitCode, signalCode }, 'a worker died; replacing it');
  }

  #spawn(onReady: () => void): Bun.Subprocess {
    const worker = Bun.spawn([process.execPath, join(import.meta.dir, 'main.ts'), 'worker'], {
      env: this.#environment,
      stdio: ['ignore', 'inherit', 'inherit'],
      // The first message says that it listens. The channel itself tells it that we live.
      ipc: onReady,
    });
    this.#workers.add(worker);
    return worker;
  }
}
