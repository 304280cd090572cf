/**
 * Judges a history: what callers posted and read, and what they were answered, against the journal.
 * Invariant: an empty list means that every answer is true, each operation is in the journal as
 * often as its answer allows, and the journal's order could have been seen by all the callers
 * (linearizability). Needs operations that differ in kind or amount within their wallet.
 */
import type { Sql } from '../../src/database/connection.ts';
import type { Operation } from '../../src/ledger/ledger.ts';
import { apply, type Wallet } from '../ledger/model.ts';
import { auditFaults, type JournalRow, readJournals } from './journal.ts';

export type CallAnswer =
  | { kind: 'ok'; balance: bigint }
  /** 400; or 404 to a read. */
  | { kind: 'insufficient_funds' | 'wallet_not_found' | 'balance_limit' | 'no_wallet' }
  /** 503. */
  | { kind: 'not_applied' | 'outcome_unknown' }
  /** 500. */
  | { kind: 'failed' }
  /** The connection ended, or none came. */
  | { kind: 'cut' };

/** In milliseconds of one clock. */
interface Span {
  began: number;
  ended: number;
}

export interface Post extends Operation, Span {
  answer: CallAnswer;
}

export interface Read extends Span {
  walletId: bigint;
  answer: CallAnswer;
}

/** May be in the journal, and may get there after the answer. */
const OPEN = new Set<CallAnswer['kind']>(['outcome_unknown', 'cut']);

const REFUSED = new Set<CallAnswer['kind']>([
  'insufficient_funds',
  'wallet_not_found',
  'balance_limit',
]);

/** Every fault that the journal of all wallets in a history shows. */
export async function historyFaults(sql: Sql, posts: Post[], reads: Read[] = []) {
  const journals = await readJournals(sql, [
    ...new Set([...posts, ...reads].map(({ walletId }) => walletId)),
  ]);
  const [postsOf, readsOf] = [Map.groupBy(posts, walletOf), Map.groupBy(reads, walletOf)];
  const faults = [...journals].flatMap(([id, rows]) => {
    const found = walletFaults(rows, postsOf.get(id) ?? [], readsOf.get(id) ?? []);
    return found.map((fault) => `wallet ${id}: ${fault}`);
  });
  return [...faults, ...(await auditFaults(sql, [...journals.keys()]))];
}

const walletOf = ({ walletId }: { walletId: bigint }) => walletId;
const keyOf = ({ type, amount }: Operation) => `${type} ${amount}`;

function walletFaults(rows: JournalRow[], posts: Post[], reads: Read[]): string[] {
  const rowsOf = Map.groupBy(rows, keyOf);
  const postOf = new Map(posts.map((post) => [keyOf(post), post]));
  if (postOf.size < posts.length) throw new Error('Bug: a caller posted the same thing twice');
  const strangers = rows.filter((row) => !postOf.has(keyOf(row)));
  const faults = [
    ...strangers.map((row) => `version ${row.version}: nobody asked for ${keyOf(row)}`),
    ...posts.flatMap((post) => countFaults(post, rowsOf.get(keyOf(post)) ?? [])),
  ];
  if (faults.length > 0) return faults;
  const timeline = new Timeline(rows, (row) => postOf.get(keyOf(row)) as Post);
  return [
    ...timeline.orderFaults(),
    ...posts.flatMap((post) => timeline.refusalFaults(post)),
    ...reads.flatMap((read) => timeline.readFaults(read)),
  ];
}

/** Whether an answer allows what is in the journal. */
function countFaults(post: Post, rows: JournalRow[]): string[] {
  const { answer } = post;
  const told = `${keyOf(post)} was answered ${answer.kind}`;
  const [row, ...copies] = rows;
  if (!row) return answer.kind === 'ok' ? [`${told} and is not in the journal`] : [];
  if (copies.length > 0) return [`${told} and is ${rows.length} times in the journal`];
  if (answer.kind !== 'ok') return OPEN.has(answer.kind) ? [] : [`${told} and is in the journal`];
  if (answer.balance === row.balance) return [];
  return [`${told} with ${answer.balance}, but its balance was ${row.balance}`];
}

/** One wallet's journal beside the times at which its operations were asked for and answered. */
class Timeline {
  readonly #rows: JournalRow[];
  readonly #posts: Post[];
  /** The state after each version, from version 0. */
  readonly #states: (Wallet | undefined)[];
  /** When the last of versions 1…n was asked for, by n. */
  readonly #began: number[] = [Number.NEGATIVE_INFINITY];
  /** When operations were answered, ascending, and the highest version answered by then. */
  readonly #answered: { at: number; version: number }[] = [];

  constructor(rows: JournalRow[], postOf: (row: JournalRow) => Post) {
    this.#rows = rows;
    this.#posts = rows.map(postOf);
    this.#states = [undefined, ...rows];
    for (const { began } of this.#posts) {
      this.#began.push(Math.max(began, this.#began.at(-1) as number));
    }
    const ends = this.#posts.map(({ ended, answer }, index) => {
      return { at: OPEN.has(answer.kind) ? Number.POSITIVE_INFINITY : ended, version: index + 1 };
    });
    let version = 0;
    for (const end of ends.sort((one, other) => one.at - other.at)) {
      version = Math.max(version, end.version);
      this.#answered.push({ at: end.at, version });
    }
  }

  /** What was answered before another was asked for comes first. */
  orderFaults(): string[] {
    return this.#rows.flatMap((row, index) => {
      const { first } = this.#window(this.#posts[index] as Post);
      if (first <= index) return [];
      return [`version ${row.version} began after version ${first} was answered`];
    });
  }

  /** There must have been a moment at which a refusal was right. */
  refusalFaults(post: Post): string[] {
    const { answer, walletId } = post;
    if (!REFUSED.has(answer.kind)) return [];
    const refuses = (state: Wallet | undefined) => {
      const wallets = new Map(state ? [[walletId, state]] : []);
      return apply(wallets, post).kind === answer.kind;
    };
    if (this.#sometime(post, refuses)) return [];
    return [`${keyOf(post)} was answered ${answer.kind}, which was never right`];
  }

  readFaults(read: Read): string[] {
    const { answer } = read;
    if (answer.kind !== 'ok' && answer.kind !== 'no_wallet') return [];
    const balance = answer.kind === 'ok' ? answer.balance : undefined;
    if (this.#sometime(read, (state) => state?.balance === balance)) return [];
    return [`a balance of ${balance} was read, which it was not at that time`];
  }

  /** Whether a state that a caller could have met fits. */
  #sometime(span: Span, fits: (state: Wallet | undefined) => boolean): boolean {
    const { first, last } = this.#window(span);
    return this.#states.slice(first, last + 1).some(fits);
  }

  /** The versions at which what happened in a span of time may have taken place. */
  #window({ began, ended }: Span): { first: number; last: number } {
    const before = countWhile(this.#answered, ({ at }) => at < began);
    const first = this.#answered[before - 1]?.version ?? 0;
    return { first, last: countWhile(this.#began, (at) => at < ended) - 1 };
  }
}

/** How many items in front fulfil a condition that no item behind them fulfils. */
function countWhile<Item>(items: Item[], holds: (item: Item) => boolean): number {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(items[middle] as Item)) low = middle + 1;
    else high = middle;
  }
  return low;
}
