/**
 * The ledger's face: what can be asked of it and every way in which it can answer.
 * Invariant: each expected outcome is a value; only a bug is thrown. Knows no HTTP.
 */

export const OPERATION_TYPES = ['DEPOSIT', 'WITHDRAW'] as const;

/** The greatest wallet id, amount, balance and version: PostgreSQL's bigint. */
export const INTEGER_MAX = 9_223_372_036_854_775_807n;

/** Versions of a wallet that a condition names, or any version at all: that it exists. */
export type Versions = bigint[] | 'any';

export interface Operation {
  walletId: bigint;
  type: (typeof OPERATION_TYPES)[number];
  /** From 1 to INTEGER_MAX, in the smallest unit of the wallet's currency. */
  amount: bigint;
  /** Of one wallet, the same key again is answered as it was at first, and changes nothing. */
  key?: string | undefined;
  /** Applied only if the wallet is at one of these versions. */
  ifMatch?: Versions | undefined;
  /** Applied only if the wallet is at none of these versions. */
  ifNoneMatch?: Versions | undefined;
}

/**
 * - `not_applied`: it had no effect and never will; safe to send again.
 * - `outcome_unknown`: it was sent, and the answer was lost; it may or may not have been applied.
 */
export type NotApplied = { kind: 'not_applied'; reason: string };
export type OutcomeUnknown = { kind: 'outcome_unknown'; reason: string };

/** What is told by the deadline of what could not be asked, or not be sent. */
export const AWAY: NotApplied = { kind: 'not_applied', reason: 'the database is away' };

/** What the ledger decided about an operation; `isReplay` when it did so at the key's first use. */
export type Decision = { isReplay?: boolean } & (
  | { kind: 'ok'; balance: bigint; version: bigint }
  | { kind: 'insufficient_funds'; balance: bigint }
  | { kind: 'wallet_not_found' | 'balance_limit' | 'precondition_failed' | 'key_reused' }
);

export type OperationOutcome = Decision | NotApplied | OutcomeUnknown;

export type BalanceOutcome =
  | { kind: 'ok'; balance: bigint; version: bigint }
  | { kind: 'no_wallet' }
  | NotApplied;

/** The wallet right after operation `version`, or after the last one not later than `at`. */
export type Moment = { version: bigint } | { at: string };

export type MomentOutcome = BalanceOutcome | { kind: 'no_version' };

/** An operation as the journal has it. */
export interface JournalEntry {
  version: bigint;
  type: Operation['type'];
  amount: bigint;
  /** Of the wallet, right after this operation. */
  balance: bigint;
  /** RFC 3339, UTC, in microseconds. */
  createdAt: string;
  key: string | null;
}

export interface PageRequest {
  limit: number;
  /** Operations older than this version. */
  before: bigint;
}

export type PageOutcome =
  | { kind: 'ok'; entries: JournalEntry[]; version: bigint }
  | { kind: 'no_wallet' }
  | NotApplied;

export interface Ledger {
  /**
   * Applies one operation; resolves after its COMMIT, with the balance right after it.
   * A refusal changed nothing.
   * @throws when PostgreSQL answers an error that no operation should cause; nothing was applied.
   */
  apply(operation: Operation): Promise<OperationOutcome>;

  /** The balance of a wallet, with every operation in it that was answered before the call. */
  balance(walletId: bigint): Promise<BalanceOutcome>;

  /** The balance of a wallet as it was. A time is RFC 3339, in microseconds at most. */
  balanceAt(walletId: bigint, moment: Moment): Promise<MomentOutcome>;

  /** A page of a wallet's journal, newest first, and the wallet's version. */
  operations(walletId: bigint, page: PageRequest): Promise<PageOutcome>;
}
