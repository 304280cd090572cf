/**
 * Keeps as many workers as the service should have, and replaces them all on demand.
 * Invariant: after `stop` or `kill` no worker is left and none is started; while it rolls there are
 * never fewer than there should be.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type PostOptions, WorkerPost } from './worker-post.ts';

/** A worker is there in a second; one that needs longer than this will not come. */
const LISTEN_MS = 30_000;

/** The workers of one service. */
export class WorkerKeeper {
  readonly #options: PostOptions;
  readonly #drainMs: number;
  #posts: WorkerPost[] = [];
  readonly #stopping = new AbortController();
  #rolling: Promise<boolean> | undefined;

  constructor(options: PostOptions, drainMs: number) {
    this.#options = options;
    this.#drainMs = drainMs;
  }

  /** The workers that are there; while one takes over from another, both. */
  get workers(): { number: number; pid: number }[] {
    return this.#posts.flatMap(({ number, pid }) => (pid === undefined ? [] : [{ number, pid }]));
  }

  /** Starts `count` workers; resolves when each has listened for the first time. */
  async start(count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, (_, at) => this.#open(at + 1).listening));
  }

  /** Tells every worker what it needs to know as it is now. */
  inform(): void {
    for (const post of this.#posts) post.inform();
  }

  /** Lets every worker drain, kills what is left after that, and awaits their end. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#posts.map((post) => post.close(this.#drainMs)));
    await this.#rolling;
  }

  /** Ends every worker at once. */
  kill(): void {
    this.#stopping.abort();
    for (const post of this.#posts) post.kill();
  }

  /**
   * Replaces the workers one by one: the next listens before the last one drains. One that does not
   * come up leaves the others in their places. Not to be called while it is under way.
   * @returns whether all were replaced.
   */
  roll(): Promise<boolean> {
    this.#rolling = this.#roll();
    return this.#rolling;
  }

  async #roll(): Promise<boolean> {
    const { logger } = this.#options;
    const posts = [...this.#posts];
    for (const [at, old] of posts.entries()) {
      if (this.#stopping.signal.aborted) return false;
      const began = performance.now();
      const next = this.#open(old.number);
      const listens = await this.#listens(next);
      const listening = performance.now();
      if (this.#stopping.signal.aborted) return false;
      if (!listens) {
        logger.error({ worker: next.pid }, 'a new worker does not listen; the old ones stay');
        await this.#close(next);
        return false;
      }
      const [from, to] = [old.pid, next.pid];
      await this.#close(old);
      const startMs = Math.round(listening - began);
      const drainMs = Math.round(performance.now() - listening);
      logger.info({ from, to, startMs, drainMs }, `replaced worker ${at + 1} of ${posts.length}`);
    }
    return true;
  }

  #listens({ listening, ended }: WorkerPost): Promise<boolean> {
    const { signal } = this.#stopping;
    const late = sleep(LISTEN_MS, false, { signal }).catch(() => false);
    return Promise.race([listening.then(() => true), ended.then(() => false), late]);
  }

  #open(number: number): WorkerPost {
    const post = new WorkerPost(number, this.#options);
    this.#posts.push(post);
    return post;
  }

  async #close(post: WorkerPost): Promise<void> {
    await post.close(this.#drainMs);
    this.#posts = this.#posts.filter((one) => one !== post);
  }
}
