/**
 * A ledger of one statement and one commit per operation.
 * Invariant: an operation is sent again only while no attempt of it may have been committed.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sql } from '../database/connection.ts';
import { classify, errorCode } from '../database/failure.ts';
import { Admission, type Limits } from './admission.ts';
import type { BalanceOutcome, Ledger, Operation, OperationOutcome, Unanswered } from './ledger.ts';

const RETRY_MIN_MS = 50;
const RETRY_JITTER_MS = 100;

const timedOut = Symbol('timed out');

/** See `Ledger` for what it answers. */
export class ClassicalLedger implements Ledger {
  readonly #sql: Sql;
  readonly #admission: Admission;

  /** @param limits `concurrency` is the number of connections that `sql` may open. */
  constructor(sql: Sql, limits: Limits) {
    this.#sql = sql;
    this.#admission = new Admission(limits);
  }

  apply(operation: Operation): Promise<OperationOutcome> {
    const statement = operation.type === 'DEPOSIT' ? this.#deposit : this.#withdraw;
    return this.#admission.run((deadline) =>
      attempt(() => statement.call(this, operation), deadline),
    );
  }

  balance(walletId: bigint): Promise<BalanceOutcome> {
    return this.#admission.run((deadline) => attempt(() => this.#balance(walletId), deadline));
  }

  async #deposit({ walletId, amount }: Operation): Promise<OperationOutcome> {
    const [row] = await this.#sql<{ balance: bigint }[]>`
      select balance from deposit(${walletId}, ${amount})`;
    return row ? { kind: 'ok', balance: row.balance } : { kind: 'balance_limit' };
  }

  async #withdraw({ walletId, amount }: Operation): Promise<OperationOutcome> {
    const [row] = await this.#sql<{ applied: boolean; balance: bigint }[]>`
      select applied, balance from withdraw(${walletId}, ${amount})`;
    if (!row) return { kind: 'wallet_not_found' };
    return row.applied ? { kind: 'ok', balance: row.balance } : { kind: 'insufficient_funds' };
  }

  async #balance(walletId: bigint): Promise<BalanceOutcome> {
    const [row] = await this.#sql<{ amount: bigint }[]>`
      select amount from wallets where id = ${walletId}`;
    return row ? { kind: 'ok', balance: row.amount } : { kind: 'no_wallet' };
  }
}

/** Sends a statement until it is answered, may have been committed, or its deadline has come. */
async function attempt<Outcome>(
  send: () => Promise<Outcome>,
  deadline: number,
): Promise<Outcome | Unanswered> {
  for (;;) {
    const answer = await answerBefore(deadline, send());
    if (answer === timedOut) {
      return { kind: 'outcome_unknown', reason: 'the database did not answer in time' };
    }
    if (!(answer instanceof Failed)) return answer;
    if (classify(answer.error) === 'final') throw answer.error;
    if (classify(answer.error) === 'lost') {
      return { kind: 'outcome_unknown', reason: 'the database connection was lost' };
    }
    const pause = RETRY_MIN_MS + Math.random() * RETRY_JITTER_MS;
    if (Date.now() + pause > deadline) {
      return { kind: 'not_applied', reason: `the database is away (${errorCode(answer.error)})` };
    }
    await sleep(pause);
  }
}

class Failed {
  constructor(readonly error: unknown) {}
}

function answerBefore<Outcome>(deadline: number, answer: Promise<Outcome>) {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<typeof timedOut>((resolve) => {
    timer = setTimeout(() => resolve(timedOut), Math.max(0, deadline - Date.now()));
  });
  const settled = answer.catch((error: unknown) => new Failed(error));
  return Promise.race([settled, late]).finally(() => clearTimeout(timer));
}
