/**
 * The ledger's face: what can be asked of it and every way in which it can answer.
 * Invariant: each expected outcome is a value; only a bug is thrown. Knows no HTTP.
 */

export const OPERATION_TYPES = ['DEPOSIT', 'WITHDRAW'] as const;

/** The greatest wallet id, amount and balance: PostgreSQL's bigint. */
export const INTEGER_MAX = 9_223_372_036_854_775_807n;

export interface Operation {
  walletId: bigint;
  type: (typeof OPERATION_TYPES)[number];
  /** From 1 to INTEGER_MAX, in the smallest unit of the wallet's currency. */
  amount: bigint;
}

/**
 * - `not_applied`: it had no effect and never will; safe to send again.
 * - `outcome_unknown`: it was sent, and the answer was lost; it may or may not have been applied.
 */
export type NotApplied = { kind: 'not_applied'; reason: string };
export type OutcomeUnknown = { kind: 'outcome_unknown'; reason: string };

export type OperationOutcome =
  | { kind: 'ok'; balance: bigint }
  | { kind: 'insufficient_funds' | 'wallet_not_found' | 'balance_limit' }
  | NotApplied
  | OutcomeUnknown;

export type BalanceOutcome = { kind: 'ok'; balance: bigint } | { kind: 'no_wallet' } | NotApplied;

export interface Ledger {
  /**
   * Applies one operation; resolves after its COMMIT, with the balance right after it.
   * A refusal changed nothing.
   * @throws when PostgreSQL answers an error that no operation should cause; nothing was applied.
   */
  apply(operation: Operation): Promise<OperationOutcome>;

  /** The balance of a wallet, with every operation in it that was answered before the call. */
  balance(walletId: bigint): Promise<BalanceOutcome>;
}
