/**
 * Callers that post operations over HTTP without a pause, each waiting for its answer.
 * Invariant: every operation differs from all others in its amount, so that it can be recognised in
 * the journal; every request is made once and ends within a bound.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { INTEGER_MAX, type Operation } from '../../src/ledger/ledger.ts';
import { WALLETS } from './app.ts';
import { freshWalletId } from './database.ts';
import type { CallAnswer, Post, Read } from './history.ts';
import { ConnectionLost, HttpClient } from './http-client.ts';

const RECONNECT_MS = 20;

/** A new wallet is taken into use after so many operations, by whichever callers come by. */
const OPERATIONS_PER_NEW_WALLET = 40;

let lastAmount = 0n;

/** An amount that no other operation of this run has. */
export function uniqueAmount(): bigint {
  lastAmount += 1n;
  return lastAmount;
}

/** Posts one operation and says how it ended. */
export async function postOperation(client: HttpClient, operation: Operation): Promise<Post> {
  const { walletId, type, amount } = operation;
  const body = `{"walletID":${walletId},"operationType":"${type}","amount":${amount}}`;
  return { ...operation, ...(await timed(client.post(WALLETS, body))) };
}

/** Reads one balance and says how it ended. */
export async function readBalance(client: HttpClient, walletId: bigint): Promise<Read> {
  return { walletId, ...(await timed(client.get(`${WALLETS}/${walletId}`))) };
}

async function timed(call: ReturnType<HttpClient['get']>) {
  const began = performance.now();
  const answer = await call.then(judge, (error: unknown): CallAnswer => {
    if (error instanceof ConnectionLost) return { kind: 'cut' };
    throw error;
  });
  return { began, ended: performance.now(), answer };
}

const REFUSALS: Record<string, CallAnswer> = {
  '400 insufficient funds': { kind: 'insufficient_funds' },
  '400 wallet not found': { kind: 'wallet_not_found' },
  '400 balance limit exceeded': { kind: 'balance_limit' },
  '404 wallet not found': { kind: 'no_wallet' },
  '500 internal error': { kind: 'failed' },
};

function judge({ status, text }: { status: number; text: string }): CallAnswer {
  const { message } = JSON.parse(text);
  const digits = /"amount":(\d+)}/.exec(text)?.[1];
  if (status === 200 && digits) return { kind: 'ok', balance: BigInt(digits) };
  if (status === 503 && message.startsWith('not applied: ')) return { kind: 'not_applied' };
  if (status === 503 && message.startsWith('outcome unknown: ')) return { kind: 'outcome_unknown' };
  const refusal = REFUSALS[`${status} ${message}`];
  if (refusal) return refusal;
  throw new Error(`answered ${status}: ${text}`);
}

interface CallersOptions {
  /** The applications to call; each caller keeps to one. */
  urls: string[];
  count: number;
}

/** They call from the moment they are made until they are stopped. */
export class Callers {
  readonly posts: Post[] = [];
  readonly reads: Read[] = [];
  readonly #hot = freshWalletId();
  readonly #few = Array.from({ length: 10 }, freshWalletId);
  #newest = freshWalletId();
  #isStopped = false;
  readonly #all: Promise<void>;

  constructor({ urls, count }: CallersOptions) {
    const callers = Array.from({ length: count }, (_, at) => this.#call(urls[at % urls.length]));
    this.#all = Promise.all(callers).then(() => {});
    // Thrown to whoever stops them.
    this.#all.catch(() => {});
  }

  /** Resolves when each has its last answer. */
  stop(): Promise<void> {
    this.#isStopped = true;
    return this.#all;
  }

  /** How many were answered so. */
  count(...kinds: CallAnswer['kind'][]): number {
    return [...this.posts, ...this.reads].filter(({ answer }) => kinds.includes(answer.kind))
      .length;
  }

  async #call(url = ''): Promise<void> {
    const client = new HttpClient(url);
    while (!this.#isStopped) {
      const operation = this.#next();
      if (Math.random() < 0.1) this.reads.push(await readBalance(client, operation.walletId));
      const post = await postOperation(client, operation);
      this.posts.push(post);
      if (post.answer.kind === 'cut') await sleep(RECONNECT_MS);
    }
    client.close();
  }

  /** Amounts grow, so a balance that wanders without aim is soon too small again. */
  #next(): Operation {
    if (this.posts.length % OPERATIONS_PER_NEW_WALLET === 0) this.#newest = freshWalletId();
    const dice = Math.floor(Math.random() * 2 * this.#few.length);
    const walletId = this.#few[dice] ?? (dice % 3 === 0 ? this.#newest : this.#hot);
    const type = Math.random() < 0.5 ? 'DEPOSIT' : 'WITHDRAW';
    // Now and then more than can fit beside any balance.
    const isHuge = Math.random() < 0.02;
    return { walletId, type, amount: isHuge ? INTEGER_MAX - uniqueAmount() : uniqueAmount() };
  }
}
