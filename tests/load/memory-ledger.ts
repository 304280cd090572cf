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

/** See `Ledger` for what it answers. */
export class MemoryLedger implements Ledger {
  readonly #balances = new Map<bigint, bigint>();

  constructor() {
    for (let id = 1n; id <= SEEDED_WALLETS; id += 1n) this.#balances.set(id, SEEDED_AMOUNT);
  }

  async apply({ walletId, type, amount }: Operation): Promise<OperationOutcome> {
    await null;
    const before = this.#balances.get(walletId);
    if (type === 'WITHDRAW' && before === undefined) return { kind: 'wallet_not_found' };
    const balance = (before ?? 0n) + (type === 'DEPOSIT' ? amount : -amount);
    if (balance < 0n) return { kind: 'insufficient_funds' };
    if (balance > INTEGER_MAX) return { kind: 'balance_limit' };
    this.#balances.set(walletId, balance);
    return { kind: 'ok', balance };
  }

  async balance(walletId: bigint): Promise<BalanceOutcome> {
    await null;
    const balance = this.#balances.get(walletId);
    return balance === undefined ? { kind: 'no_wallet' } : { kind: 'ok', balance };
  }
}
