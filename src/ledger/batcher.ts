/**
 * Collects calls while a batch is on its way and sends them together when a carrier is free.
 * Invariant: no timer delays a call; at most `queueMax` wait, in order of arrival; each is answered
 * by its own deadline. What operations and balances have in common, and nothing of either.
 */
import { Call } from './call.ts';
import type { NotApplied } from './ledger.ts';

export interface BatchLimits {
  /** Calls that may wait for a carrier; the next is refused at once. */
  queueMax: number;
  /** Calls in one batch at the most. */
  batchMax: number;
  requestTimeoutMs: number;
}

/** Answers every call it is given, and resolves when it can take the next batch. */
export type Carrier<Question, Answer> = (calls: Call<Question, Answer>[]) => Promise<void>;

/** Calls in front, carriers behind. */
export class Batcher<Question, Answer> {
  readonly #limits: BatchLimits;
  readonly #idle: Carrier<Question, Answer | NotApplied>[];
  #waiting: Call<Question, Answer | NotApplied>[] = [];
  #isScheduled = false;
  #expiry: NodeJS.Timeout | undefined;

  constructor(limits: BatchLimits, carriers: Carrier<Question, Answer | NotApplied>[]) {
    this.#limits = limits;
    this.#idle = [...carriers];
  }

  /** Calls that wait for a carrier. */
  get length(): number {
    return this.#waiting.length;
  }

  /** @returns the carrier's answer, or `not_applied` when the call could not be sent. */
  ask(question: Question): Promise<Answer | NotApplied> {
    const { queueMax, requestTimeoutMs } = this.#limits;
    if (this.#waiting.length >= queueMax) {
      const reason = `${queueMax} others are waiting`;
      return Promise.resolve({ kind: 'not_applied', reason });
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push(new Call(question, Date.now() + requestTimeoutMs, resolve, reject));
      if (this.#idle.length > 0) this.#schedule();
      else this.#watch();
    });
  }

  /**
   * Sends when a batch is full, or once a turn of the event loop has brought no further call: what
   * the clients have sent already shares the batch, and nothing is waited for. (256 connections on
   * one wallet: 103 to a flight instead of 63, 15 % more operations a second.) Under overload turns
   * are long, so a full batch goes in the turn in which the last one landed.
   */
  #schedule(): void {
    if (this.#waiting.length >= this.#limits.batchMax) this.#dispatch();
    if (this.#isScheduled || this.#waiting.length === 0) return;
    this.#isScheduled = true;
    let seen = 0;
    const look = () => {
      const count = this.#waiting.length;
      if (count > seen && count < this.#limits.batchMax) {
        seen = count;
        setImmediate(look);
      } else {
        this.#isScheduled = false;
        this.#dispatch();
      }
    };
    setImmediate(look);
  }

  #dispatch(): void {
    while (this.#waiting.length > 0) {
      const carrier = this.#idle.pop();
      if (!carrier) break;
      void this.#carry(carrier, this.#take());
    }
    this.#watch();
  }

  #take(): Call<Question, Answer | NotApplied>[] {
    const { batchMax } = this.#limits;
    if (this.#waiting.length > batchMax) return this.#waiting.splice(0, batchMax);
    const all = this.#waiting;
    this.#waiting = [];
    return all;
  }

  async #carry(
    carrier: Carrier<Question, Answer | NotApplied>,
    calls: Call<Question, Answer | NotApplied>[],
  ): Promise<void> {
    try {
      await carrier(calls);
    } catch (error) {
      for (const call of calls) call.fail(error);
    }
    this.#idle.push(carrier);
    this.#schedule();
  }

  /** Whoever has to wait is answered by its deadline. */
  #watch(): void {
    const [next] = this.#waiting;
    if (next) this.#expiry ??= setTimeout(() => this.#expire(), next.deadline - Date.now());
  }

  /** Answers what has waited too long for a carrier; a full queue makes this rare. */
  #expire(): void {
    this.#expiry = undefined;
    const now = Date.now();
    const reason = `no turn came in ${this.#limits.requestTimeoutMs} ms`;
    const firstInTime = this.#waiting.findIndex(({ deadline }) => deadline > now);
    const late = this.#waiting.splice(0, firstInTime < 0 ? this.#waiting.length : firstInTime);
    for (const call of late) call.answer({ kind: 'not_applied', reason });
    this.#watch();
  }
}
