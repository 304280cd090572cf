/**
 * A question to the ledger on its way to its answer.
 * Invariant: the first answer counts; one that is late is told so by its own deadline.
 */

/** One question and whoever waits for its answer. */
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
