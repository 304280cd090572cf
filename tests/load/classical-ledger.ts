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

interface Row {
  amount: bigint;
  version: bigint;
}

/** One statement for each operation; the pool's size bounds how many are on their way. */
export class ClassicalLedger implements Pick<Ledger, 'apply' | 'balance'> {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  apply(operation: Operation): Promise<OperationOutcome> {
    return operation.type === 'DEPOSIT' ? this.#deposit(operation) : this.#withdraw(operation);
  }

  async balance(walletId: bigint): Promise<BalanceOutcome> {
    const [row] = await this.#sql<Row[]>`
      select amount, version from wallets where id = ${walletId}`;
    return row ? { kind: 'ok', balance: row.amount, version: row.version } : { kind: 'no_wallet' };
  }

  /** The atomic upsert. The guard stands in the update, so a refusal returns no row. */
  async #deposit({ walletId, amount }: Operation): Promise<OperationOutcome> {
    const [row] = await this.#sql<Row[]>`
      insert into wallets (id, amount, version, changed_at)
      values (${walletId}, ${amount}, 1, '-infinity')
      on conflict (id) do update
        set amount = wallets.amount + excluded.amount, version = wallets.version + 1
      where wallets.amount <= ${INTEGER_MAX}::bigint - excluded.amount
      returning amount, version`;
    return row
      ? { kind: 'ok', balance: row.amount, version: row.version }
      : { kind: 'balance_limit' };
  }

  /** The guarded decrement; only a refusal asks why. */
  async #withdraw({ walletId, amount }: Operation): Promise<OperationOutcome> {
    const [row] = await this.#sql<Row[]>`
      update wallets set amount = amount - ${amount}, version = version + 1
      where id = ${walletId} and amount >= ${amount}
      returning amount, version`;
    if (row) return { kind: 'ok', balance: row.amount, version: row.version };
    const found = await this.balance(walletId);
    if (found.kind !== 'ok') return { kind: 'wallet_not_found' };
    return { kind: 'insufficient_funds', balance: found.balance };
  }
}
