/**
 * Judges a history: what callers posted and read, and what they were answered, against the journal.
 * Invariant: an empty list means that every answer is true, each operation is in the journal as
 * often as its answer allows, and the journal's order could have been seen by all the callers
 * (linearizability). Needs operations that differ in kind, amount or key within their wallet;
 * those that do not are uses of one key, of which one decided, and all were answered alike.
 */
import type { Sql } from '../../src/database/connection.ts';
import type { Operation } from '../../src/ledger/ledger.ts';
import { Books, keyName, type Wallet } from '../ledger/model.ts';
import { auditFaults, type JournalRow, type KeyRow, readJournals, readKeys } from './journal.ts';

export type CallAnswer =
  | { kind: 'ok'; balance: bigint; version: bigint; isReplay: boolean }
  /** 400; 412; 422. */
  | { kind: Refused; isReplay: boolean }
  /** 404 to a read. */
  | { kind: 'no_wallet' }
  /** 503. */
  | { kind: 'not_applied' | 'outcome_unknown' }
  /** 500. */
  | { kind: 'failed' }
  /** The connection ended, or none came. */
  | { kind: 'cut' };

type Refused =
  | 'insufficient_funds'
  | 'wallet_not_found'
  | 'balance_limit'
  | 'precondition_failed'
  | 'key_reused';

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
  'precondition_failed',
]);

/** What the ledger decided, and told. */
export const isDecided = ({ answer }: Post) => answer.kind === 'ok' || REFUSED.has(answer.kind);

/** Every fault that the journal of all wallets in a history shows. */
export async function historyFaults(sql: Sql, posts: Post[], reads: Read[] = []) {
  const journals = await readJournals(sql, [
    ...new Set([...posts, ...reads].map(({ walletId }) => walletId)),
  ]);
  const [postsOf, readsOf] = [Map.groupBy(posts, walletOf), Map.groupBy(reads, walletOf)];
  const keysOf = Map.groupBy(await readKeys(sql, [...journals.keys()]), walletOf);
  const faults = [...journals].flatMap(([id, rows]) => {
    const uses = postsOf.get(id) ?? [];
    const found = [
      ...keyFaults(keysOf.get(id) ?? [], uses),
      ...walletFaults(rows, uses, readsOf.get(id) ?? []),
    ];
    return found.map((fault) => `wallet ${id}: ${fault}`);
  });
  return [...faults, ...(await auditFaults(sql, [...journals.keys()]))];
}

const walletOf = ({ walletId }: { walletId: bigint }) => walletId;
const keyOf = ({ type, amount, key }: Operation) => `${type} ${amount} ${key ?? ''}`.trim();

function walletFaults(rows: JournalRow[], all: Post[], reads: Read[]): string[] {
  const rowsOf = Map.groupBy(rows, keyOf);
  const usesOf = Map.groupBy(all, keyOf);
  const posts = [...usesOf.values()].map(decidingUse);
  const postOf = new Map(posts.map((post) => [keyOf(post), post]));
  const strangers = rows.filter((row) => !postOf.has(keyOf(row)));
  const faults = [
    ...strangers.map((row) => `version ${row.version}: nobody asked for ${keyOf(row)}`),
    ...all.flatMap((post) => countFaults(post, rowsOf.get(keyOf(post)) ?? [])),
    ...[...usesOf.values()].flatMap(useFaults),
  ];
  if (faults.length > 0) return faults;
  const timeline = new Timeline(rows, (row) => postOf.get(keyOf(row)) as Post);
  return [
    ...timeline.orderFaults(),
    ...timeline.acceptanceFaults(),
    ...posts.flatMap((post) => timeline.refusalFaults(post)),
    ...reads.flatMap((read) => timeline.readFaults(read)),
  ];
}

/** What was decided about the uses of a key, as one post: the first, answered by any of them. */
function decidingUse(uses: Post[]): Post {
  const [use, ...others] = uses as [Post, ...Post[]];
  if (others.length > 0 && use.key === undefined) {
    throw new Error('Bug: a caller posted the same thing twice');
  }
  const decided = uses.filter(isDecided);
  const first = decided.find((post) => !isReplay(post)) ?? uses.find(isOpen) ?? use;
  if (!decided[0]) return first;
  const ended = Math.min(...decided.map((post) => post.ended));
  return { ...first, ended, answer: decided[0].answer };
}

const isOpen = ({ answer }: Post) => OPEN.has(answer.kind);
const isReplay = ({ answer }: Post) => 'isReplay' in answer && answer.isReplay;

/** All uses of a key are answered alike, and at most one of them not as a replay. */
function useFaults(uses: Post[]): string[] {
  const decided = uses.filter(isDecided);
  const [first] = uses as [Post];
  const told = new Set(decided.map(({ answer }) => Bun.inspect({ ...answer, isReplay: false })));
  const firsts = decided.filter((post) => !isReplay(post));
  const isLost = firsts.length === 0 && decided.length > 0 && !uses.some(isOpen);
  return [
    ...(told.size > 1 ? [`${keyOf(first)} was answered differently: ${[...told]}`] : []),
    ...(firsts.length > 1 ? [`${keyOf(first)} was decided ${firsts.length} times`] : []),
    ...(isLost ? [`${keyOf(first)} was only replayed`] : []),
  ];
}

/** Each key is recorded with what was told of it; reused is one that another operation has. */
function keyFaults(rows: KeyRow[], posts: Post[]): string[] {
  const rowOf = new Map(rows.map((row) => [keyName(row), row]));
  const asked = new Set(posts.map(keyOf));
  const strangers = rows.filter((row) => !asked.has(keyOf(row)));
  const lies = posts.filter((post) => {
    const { answer, key } = post;
    if (key === undefined) return answer.kind === 'key_reused' || isReplay(post);
    const row = rowOf.get(keyName(post));
    if (answer.kind === 'key_reused') return isReplay(post) || !row || keyOf(row) === keyOf(post);
    if (!isDecided(post)) return false;
    if (!row || keyOf(row) !== keyOf(post)) return true;
    if (answer.kind !== 'ok') return row.refusal !== answer.kind;
    return row.balance !== answer.balance || row.version !== answer.version;
  });
  return [
    ...strangers.map((row) => `nobody used the key of ${keyOf(row)}`),
    ...lies.map((post) => `${keyOf(post)}: its key is not recorded as ${Bun.inspect(post.answer)}`),
  ];
}

/** Whether an answer allows what is in the journal. */
function countFaults(post: Post, rows: JournalRow[]): string[] {
  const { answer } = post;
  const told = `${keyOf(post)} was answered ${answer.kind}`;
  const [row, ...copies] = rows;
  if (!row) return answer.kind === 'ok' ? [`${told} and is not in the journal`] : [];
  if (copies.length > 0) return [`${told} and is ${rows.length} times in the journal`];
  if (answer.kind !== 'ok') {
    // What was not applied now, or not known to be, may have been by another use of its key.
    const mayBe = isOpen(post) || (post.key !== undefined && !REFUSED.has(answer.kind));
    return mayBe && answer.kind !== 'key_reused' ? [] : [`${told} and is in the journal`];
  }
  if (answer.balance !== row.balance) {
    return [`${told} with ${answer.balance}, but its balance was ${row.balance}`];
  }
  if (answer.version === row.version) return [];
  return [`${told} as version ${answer.version}, but is version ${row.version}`];
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

  /** What was applied must have been acceptable where it was. */
  acceptanceFaults(): string[] {
    return this.#rows.flatMap((row, index) => {
      const kind = decide(this.#states[index], this.#posts[index] as Post);
      return kind === 'ok' ? [] : [`version ${row.version} should have been refused: ${kind}`];
    });
  }

  /** There must have been a moment at which a refusal was right. */
  refusalFaults(post: Post): string[] {
    const { answer } = post;
    if (!REFUSED.has(answer.kind)) return [];
    if (this.#sometime(post, (state) => decide(state, post) === answer.kind)) return [];
    return [`${keyOf(post)} was answered ${answer.kind}, which was never right`];
  }

  readFaults(read: Read): string[] {
    const { answer } = read;
    if (answer.kind !== 'ok' && answer.kind !== 'no_wallet') return [];
    const told = answer.kind === 'ok' ? answer : undefined;
    const wasSo = (state: Wallet | undefined) =>
      state?.balance === told?.balance && state?.version === told?.version;
    if (this.#sometime(read, wasSo)) return [];
    return [`${told?.balance} at ${told?.version} was read, which it was not at that time`];
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

/** What the model says to an operation on a wallet, at the first use of its key. */
const decide = (state: Wallet | undefined, post: Post) =>
  new Books(state ? [[post.walletId, state]] : []).apply(post).kind;

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
