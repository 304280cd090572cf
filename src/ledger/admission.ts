/**
 * Bounds what waits for the database and how long.
 * Invariant: at most `concurrency` tasks run and `queueMax` wait, in the order of their arrival;
 * what is refused here, or waits past its deadline, was never started.
 */
import type { Unanswered } from './ledger.ts';

export interface Limits {
  concurrency: number;
  queueMax: number;
  requestTimeoutMs: number;
}

interface Waiting {
  start: () => void;
  timer: NodeJS.Timeout;
}

/** A gate in front of the database. */
export class Admission {
  readonly #limits: Limits;
  readonly #queue = new Set<Waiting>();
  #running = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /**
   * Runs `task` when it is its turn; `task` is given its deadline, in milliseconds of `Date.now`.
   * @returns its result, or `not_applied` when it could not be started.
   */
  async run<Result>(task: (deadline: number) => Promise<Result>): Promise<Result | Unanswered> {
    const { concurrency, queueMax, requestTimeoutMs } = this.#limits;
    const deadline = Date.now() + requestTimeoutMs;
    if (this.#running < concurrency) this.#running += 1;
    else if (this.#queue.size >= queueMax) {
      return { kind: 'not_applied', reason: `${queueMax} others are waiting` };
    } else if (!(await this.#turn(requestTimeoutMs))) {
      return { kind: 'not_applied', reason: `no turn came in ${requestTimeoutMs} ms` };
    }
    try {
      return await task(deadline);
    } finally {
      this.#next();
    }
  }

  /** Waits until a task that ends hands its place over; false when the time is up first. */
  #turn(timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const waiting: Waiting = {
        start: () => resolve(true),
        timer: setTimeout(() => {
          this.#queue.delete(waiting);
          resolve(false);
        }, timeoutMs),
      };
      this.#queue.add(waiting);
    });
  }

  #next(): void {
    const [waiting] = this.#queue;
    if (!waiting) {
      this.#running -= 1;
      return;
    }
    this.#queue.delete(waiting);
    clearTimeout(waiting.timer);
    waiting.start();
  }
}
