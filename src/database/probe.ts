/**
 * Asks the database whether it is there, on a connection of its own, so that neither a full queue
 * nor a hanging connection gives the wrong answer.
 * Invariant: one question is on its way at a time; callers that come meanwhile share its answer.
 */
import type { ServerAddress } from '../server-address.ts';
import { Line } from './line.ts';

/** A connection that does not answer in this time is given up. */
const ATTEMPT_TIMEOUT_MS = 1000;

/** The question behind /readyz. */
export class Probe {
  readonly #line: Line;
  #pending: Promise<boolean> | undefined;

  constructor(address: ServerAddress) {
    this.#line = new Line(address, { name: 'wallet-probe', attemptTimeoutMs: ATTEMPT_TIMEOUT_MS });
  }

  /** Whether it answers; takes up to two attempts' time, one to connect and one to ask. */
  answers(): Promise<boolean> {
    this.#pending ??= this.#ask().finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  close(): Promise<void> {
    return this.#line.close();
  }

  async #ask(): Promise<boolean> {
    const { kind } = await this.#line.attempt((sql) => sql`select 1`);
    return kind === 'answered';
  }
}
