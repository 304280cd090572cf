/**
 * Collects calls while a batch is on its way and sends them together when a carrier is free.
 * Invariant: no timer delays a call; at most `queueMax` wait, in order of arrival; each is answered
 * by its own deadline. What operations and balances have in common, and nothing of either.
 */
import type { NotApplied } from './ledger.ts';

export interface BatchLimits {
  /** Calls that may wait for a carrier; the next is refused at once. */
  queueMax: number;
  /** Calls in one batch at the most. */
  batchMax: number;
  requestTimeoutMs: number;
}

/** One question on its way to its answer; the first answer counts. */
export class Call<Question, Answer> {
  readonly question: Question;
  /** In milliseconds of `Date.now()`. Calls of one batch are in the order of their deadlines. */
  readonly deadline: number;
  answered = false;
  readonly #resolve: (answer: Answer) => void;
  readonly #reject: (error: unknown) => void;

  /** Use `Batcher.ask`. */
  constructor(
    question: Question,
    deadline: number,
    resolve: (answer: Answer) => void,
    reject: (error: unknown) => void,
  ) {
    this.question = question;
    this.deadline = deadline;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  answer(answer: Answer): void {
    this.answered = true;
    this.#resolve(answer);
  }

  fail(error: unknown): void {
    this.answered = true;
    this.#reject(error);
  }
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

  /** After this turn of the event loop: what else it brings shares the batch. */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#dispatch();
    });
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

/** Waits for `event`, and meanwhile answers each call whose deadline comes. */
export async function answerLateCalls<Event, Answer>(
  calls: Call<unknown, Answer>[],
  event: Promise<Event>,
  late: Answer,
): Promise<Event> {
  let timer: NodeJS.Timeout | undefined;
  const answerDue = () => {
    const now = Date.now();
    const open = calls.filter(({ answered }) => !answered);
    for (const call of open) if (call.deadline <= now) call.answer(late);
    const next = open.find(({ deadline }) => deadline > now);
    if (next) timer = setTimeout(answerDue, next.deadline - now);
  };
  const first = calls.find(({ answered }) => !answered);
  if (first) timer = setTimeout(answerDue, Math.max(0, first.deadline - Date.now()));
  try {
    return await event;
  } finally {
    clearTimeout(timer);
  }
}
