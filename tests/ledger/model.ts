/**
 * What a ledger is, in the fewest words: the pure model that the real one is compared with.
 * Invariant: no clock, no I/O, no PostgreSQL; a refusal leaves the wallets as they were.
 */
import { INTEGER_MAX, type Operation } from '../../src/ledger/ledger.ts';

export interface Wallet {
  balance: bigint;
  version: bigint;
}

export type Outcome =
  | ({ kind: 'ok' } & Wallet)
  | { kind: 'wallet_not_found' | 'insufficient_funds' | 'balance_limit' };

/** Applies one operation to the wallets, or says why not. */
export function apply(wallets: Map<bigint, Wallet>, operation: Operation): Outcome {
  const { walletId, type, amount } = operation;
  const found = wallets.get(walletId);
  if (!found && type === 'WITHDRAW') return { kind: 'wallet_not_found' };
  const { balance, version } = found ?? { balance: 0n, version: 0n };
  const after = type === 'DEPOSIT' ? balance + amount : balance - amount;
  if (after < 0n) return { kind: 'insufficient_funds' };
  if (after > INTEGER_MAX) return { kind: 'balance_limit' };
  const wallet = { balance: after, version: version + 1n };
  wallets.set(walletId, wallet);
  return { kind: 'ok', ...wallet };
}
