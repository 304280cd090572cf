/**
 * The post of one worker: someone is always on it, until it is closed.
 * Invariant: a worker that dies is replaced by another on the same post; after `close` or `kill`
 * its worker ends and none is started.
 */
import { join } from 'node:path';
import { keepAlive } from './keep-alive.ts';
import type { Logger } from './log.ts';
import type { Collector } from './metrics/collector.ts';
import type { Environment } from './settings.ts';
import type { SupervisorMessage, WorkerMessage } from './worker-channel.ts';

/** Given to a worker beyond its own limit for draining before it is killed. */
const DRAIN_MARGIN_MS = 2000;

export interface PostOptions {
  /** The variables that a worker reads its configuration from. */
  environment: Environment;
  logger: Logger;
  collector: Collector;
  /** What a worker is told when it has started, and on `inform`. */
  message: () => SupervisorMessage;
  /** Called when a worker has ended without being told to. */
  onDeath: () => void;
}

/** Keeps a worker from its making on. */
export class WorkerPost {
  /** From 1. A post that takes over from another has its number. */
  readonly number: number;
  /** When a worker of it has listened for the first time. */
  readonly listening: Promise<void>;
  /** When a worker of it has ended for the first time. */
  readonly ended: Promise<void>;
  readonly #options: PostOptions;
  readonly #stopping = new AbortController();
  readonly #kept: Promise<void>;
  readonly #onListening: () => void;
  readonly #onEnded: () => void;
  #worker: Bun.Subprocess | undefined;
  #isReplacing = false;

  constructor(number: number, options: PostOptions) {
    this.number = number;
    this.#options = options;
    ({ promise: this.listening, resolve: this.#onListening } = Promise.withResolvers<void>());
    ({ promise: this.ended, resolve: this.#onEnded } = Promise.withResolvers<void>());
    this.#kept = keepAlive(() => this.#live(), this.#stopping.signal);
  }

  /** The worker's process; undefined between two. */
  get pid(): number | undefined {
    return this.#worker?.pid;
  }

  /** Tells the worker what it needs to know as it is now. */
  inform(): void {
    if (this.#worker) this.#tell(this.#worker);
  }

  /** Lets the worker drain for `drainMs`, kills it after that, and awaits its end. */
  async close(drainMs: number): Promise<void> {
    this.#stopping.abort();
    this.#worker?.kill('SIGTERM');
    const force = setTimeout(() => this.kill(), drainMs + DRAIN_MARGIN_MS);
    await this.#kept;
    clearTimeout(force);
  }

  /** Ends the worker at once; what it was doing is decided by the database alone. */
  kill(): void {
    this.#stopping.abort();
    this.#worker?.kill('SIGKILL');
  }

  async #live(): Promise<void> {
    const { logger, onDeath } = this.#options;
    const worker = this.#spawn();
    this.#worker = worker;
    await worker.exited;
    this.#worker = undefined;
    this.#onEnded();
    if (this.#stopping.signal.aborted) return;
    onDeath();
    this.#isReplacing = true;
    const { pid, exitCode, signalCode } = worker;
    logger.error({ worker: pid, exitCode, signalCode }, 'a worker died; replacing it');
  }

  #listens(pid: number): void {
    if (this.#isReplacing)
      this.#options.logger.info({ worker: pid }, 'another worker took its place');
    this.#onListening();
  }

  #tell(worker: Bun.Subprocess): void {
    try {
      worker.send(this.#options.message());
    } catch {
      // It has just ended; the next one asks.
    }
  }

  #spawn(): Bun.Subprocess {
    const { environment, collector } = this.#options;
    const worker: Bun.Subprocess = Bun.spawn(
      [process.execPath, join(import.meta.dir, 'main.ts'), 'worker'],
      {
        env: environment,
        stdio: ['ignore', 'inherit', 'inherit'],
        // The channel itself tells the worker that we live.
        ipc: (message: WorkerMessage) => {
          if (message.kind === 'started') this.#tell(worker);
          else if (message.kind === 'listening') this.#listens(worker.pid);
          else collector.report(worker.pid, message.report);
        },
        // Comes behind the last report, which the end of the process need not.
        onDisconnect: () => collector.forget(worker.pid),
      },
    );
    return worker;
  }
}
