/**
 * Callers that post operations over HTTP without a pause, each waiting for its answer.
 * Invariant: every operation differs from all others in its amount, so that it can be recognised in
 * the journal; every request ends within a bound, and only stubborn callers repeat one, by its key.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { INTEGER_MAX, type Operation, type Versions } from '../../src/ledger/ledger.ts';
import { WALLETS } from './app.ts';
import { freshWalletId } from './database.ts';
import { type CallAnswer, isDecided, type Post, type Read } from './history.ts';
import { ConnectionLost, HttpClient } from './http-client.ts';

const RECONNECT_MS = 20;

/** Beyond every deadline and every recovery. */
const STUBBORN_MS = 30_000;

/** How many operations are sent once more although they were decided. */
const REPEATED = 0.1;

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
  return { ...operation, ...(await timed(client.post(WALLETS, body, headersOf(operation)))) };
}

function headersOf({ key, ifMatch, ifNoneMatch }: Operation): string[] {
  const tags = (versions: Versions) =>
    versions === 'any' ? '*' : versions.map((version) => `"${version}"`).join(', ');
  return [
    ...(key === undefined ? [] : [`Idempotency-Key: "${key}"`]),
    ...(ifMatch ? [`If-Match: ${tags(ifMatch)}`] : []),
    ...(ifNoneMatch ? [`If-None-Match: ${tags(ifNoneMatch)}`] : []),
  ];
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

const REFUSALS: Record<string, CallAnswer['kind']> = {
  '400 insufficient funds': 'insufficient_funds',
  '400 wallet not found': 'wallet_not_found',
  '400 balance limit exceeded': 'balance_limit',
  '404 wallet not found': 'no_wallet',
  '412 precondition failed': 'precondition_failed',
  '422 idempotency key was used with another request': 'key_reused',
  '500 internal error': 'failed',
};

function judge({ status, head, text }: { status: number; head: string; text: string }): CallAnswer {
  const { message } = JSON.parse(text);
  const isReplay = /^idempotency-replayed: true\r?$/im.test(head);
  const digits = /"amount":(\d+)}/.exec(text)?.[1];
  if (status === 200 && digits) {
    const tag = /^etag: "(\d+)"\r?$/im.exec(head)?.[1];
    return { kind: 'ok', balance: BigInt(digits), version: BigInt(tag ?? 0), isReplay };
  }
  if (status === 503 && message.startsWith('not applied: ')) return { kind: 'not_applied' };
  if (status === 503 && message.startsWith('outcome unknown: ')) return { kind: 'outcome_unknown' };
  const kind = REFUSALS[`${status} ${message}`];
  if (kind) return { kind, isReplay } as CallAnswer;
  throw new Error(`answered ${status}: ${text}`);
}

interface CallersOptions {
  /** The applications to call; each caller keeps to one. */
  urls: string[];
  count: number;
  /** Whether each operation has a key, with which it is sent again until it is decided. */
  areStubborn?: boolean;
}

/** They call from the moment they are made until they are stopped. */
export class Callers {
  readonly posts: Post[] = [];
  readonly reads: Read[] = [];
  readonly #hot = freshWalletId();
  readonly #few = Array.from({ length: 10 }, freshWalletId);
  #newest = freshWalletId();
  readonly #areStubborn: boolean;
  #isStopped = false;
  readonly #all: Promise<void>;

  constructor({ urls, count, areStubborn = false }: CallersOptions) {
    this.#areStubborn = areStubborn;
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
      const end = Date.now() + STUBBORN_MS;
      let post: Post;
      do {
        post = await postOperation(client, operation);
        this.posts.push(post);
        if (post.answer.kind === 'cut') await sleep(RECONNECT_MS);
      } while (this.#areStubborn && !isDecided(post) && Date.now() < end);
      // As a client does whose answer was lost.
      if (this.#areStubborn && Math.random() < REPEATED) {
        this.posts.push(await postOperation(client, operation));
      }
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
    const amount = isHuge ? INTEGER_MAX - uniqueAmount() : uniqueAmount();
    const key = this.#areStubborn ? crypto.randomUUID() : undefined;
    return { walletId, type, amount, key };
  }
}
