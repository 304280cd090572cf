/**
 * The ceiling: a ledger that is a map in memory, with one `await` and no batcher.
 * Invariant: it answers as the real one does, but forgets all when its process ends, and two
 * workers know nothing of each other; what is left is the cost of HTTP, validation and envelope.
 */
import {
  type BalanceOutcome,
  INTEGER_MAX,
  type Ledger,
  type Operation,
  type OperationOutcome,
} from '../../src/ledger/ledger.ts';
import { SEEDED_AMOUNT, SEEDED_WALLETS } from './wallets.ts';

type Wallet = Extract<BalanceOutcome, { kind: 'ok' }>;

/** See `Ledger` for what it answers. */
export class MemoryLedger implements Pick<Ledger, 'apply' | 'balance'> {
  readonly #wallets = new Map<bigint, Wallet>();

  constructor() {
    const seeded: Wallet = { kind: 'ok', balance: SEEDED_AMOUNT, version: 1n };
    for (let id = 1n; id <= SEEDED_WALLETS; id += 1n) this.#wallets.set(id, seeded);
  }

  async apply({ walletId, type, amount }: Operation): Promise<OperationOutcome> {
    await null;
    const before = this.#wallets.get(walletId);
    if (type === 'WITHDRAW' && !before) return { kind: 'wallet_not_found' };
    const held = before?.balance ?? 0n;
    const balance = held + (type === 'DEPOSIT' ? amount : -amount);
    if (balance < 0n) return { kind: 'insufficient_funds', balance: held };
    if (balance > INTEGER_MAX) return { kind: 'balance_limit' };
    const after: Wallet = { kind: 'ok', balance, version: (before?.version ?? 0n) + 1n };
    this.#wallets.set(walletId, after);
    return after;
  }

  async balance(walletId: bigint): Promise<BalanceOutcome> {
    await null;
    return this.#wallets.get(walletId) ?? { kind: 'no_wallet' };
  }
}
