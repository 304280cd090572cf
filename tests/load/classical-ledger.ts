/**
 * The contender "one commit per request": the two classical statements on a pool of connections,
 * without a journal. It has no deadlines and no re-sends, which costs it nothing in a comparison.
 */
import type { Sql } from '../../src/database/connection.ts';
import {
  type BalanceOutcome,
  INTEGER_MAX,
  type Ledger,
  type Operation,
  type OperationOutcome,
} from '../../src/ledger/ledger.ts';

/** One statement for each operation; the pool's size bounds how many are on their way. */
export class ClassicalLedger implements Ledger {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  apply(operation: Operation): Promise<OperationOutcome> {
    return operation.type === 'DEPOSIT' ? this.#deposit(operation) : this.#withdraw(operation);
  }

  async balance(walletId: bigint): Promise<BalanceOutcome> {
    const [row] = await this.#sql<{ amount: bigint }[]>`
      select amount from wallets where id = ${walletId}`;
    return row ? { kind: 'ok', balance: row.amount } : { kind: 'no_wallet' };
  }

  /** The atomic upsert. The guard stands in the update, so a refusal returns no row. */
  async #deposit({ walletId, amount }: Operation): Promise<OperationOutcome> {
    const [row] = await this.#sql<{ amount: bigint }[]>`
      insert into wallets (id, amount, version, changed_at)
      values (${walletId}, ${amount}, 0, '-infinity')
      on conflict (id) do update set amount = wallets.amount + excluded.amount
      where wallets.amount <= ${INTEGER_MAX}::bigint - excluded.amount
      returning amount`;
    return row ? { kind: 'ok', balance: row.amount } : { kind: 'balance_limit' };
  }

  /** The guarded decrement; only a refusal asks why. */
  async #withdraw({ walletId, amount }: Operation): Promise<OperationOutcome> {
    const [row] = await this.#sql<{ amount: bigint }[]>`
      update wallets set amount = amount - ${amount}
      where id = ${walletId} and amount >= ${amount}
      returning amount`;
    if (row) return { kind: 'ok', balance: row.amount };
    const { kind } = await this.balance(walletId);
    return { kind: kind === 'ok' ? 'insufficient_funds' : 'wallet_not_found' };
  }
}
