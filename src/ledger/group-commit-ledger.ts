/**
 * The ledger over PostgreSQL: concurrent operations share a call and a commit, concurrent balances
 * a query. Invariant: it only puts the parts together; what is promised is kept by flight.ts and
 * sql/apply_operations.sql.
 */

import { Line } from '../database/line.ts';
import type { Logger } from '../log.ts';
import type { ServerAddress } from '../server-address.ts';
import { readBalances } from './balance-reader.ts';
import { Batcher, type BatchLimits } from './batcher.ts';
import { fly } from './flight.ts';
import { FlightSlot } from './flight-slot.ts';
import { type JournalQuery, momentQuery, pageQuery, readJournal } from './journal-reader.ts';
import type {
  BalanceOutcome,
  Ledger,
  Moment,
  MomentOutcome,
  Operation,
  OperationOutcome,
  PageOutcome,
  PageRequest,
} from './ledger.ts';

export interface LedgerOptions extends BatchLimits {
  /** Flights that may be in the air at once, each on a connection of its own. */
  flightSlots: number;
  attemptTimeoutMs: number;
}

/** See `Ledger` for what it answers. */
export class GroupCommitLedger implements Ledger {
  readonly #slots: FlightSlot[];
  readonly #balanceLine: Line;
  readonly #journalLine: Line;
  readonly #operations: Batcher<Operation, OperationOutcome>;
  readonly #balances: Batcher<bigint, BalanceOutcome>;
  readonly #journal: Batcher<JournalQuery, MomentOutcome | PageOutcome>;

  constructor(address: ServerAddress, options: LedgerOptions, logger: Logger) {
    const { attemptTimeoutMs, flightSlots } = options;
    const slotOptions = { name: 'wallet-flight', attemptTimeoutMs };
    this.#slots = Array.from({ length: flightSlots }, () => new FlightSlot(address, slotOptions));
    this.#balanceLine = new Line(address, { name: 'wallet-balance', attemptTimeoutMs });
    this.#journalLine = new Line(address, { name: 'wallet-journal', attemptTimeoutMs });
    const carriers = this.#slots.map((slot) => (calls: Parameters<typeof fly>[1]) => {
      return fly(slot, calls, logger);
    });
    this.#operations = new Batcher<Operation, OperationOutcome>(options, carriers);
    this.#balances = new Batcher<bigint, BalanceOutcome>(options, [
      (calls) => readBalances(this.#balanceLine, calls),
    ]);
    this.#journal = new Batcher<JournalQuery, MomentOutcome | PageOutcome>(options, [
      (calls) => readJournal(this.#journalLine, calls),
    ]);
  }

  apply(operation: Operation): Promise<OperationOutcome> {
    return this.#operations.ask(operation);
  }

  balance(walletId: bigint): Promise<BalanceOutcome> {
    return this.#balances.ask(walletId);
  }

  balanceAt(walletId: bigint, moment: Moment): Promise<MomentOutcome> {
    return this.#journal.ask(momentQuery(walletId, moment)) as Promise<MomentOutcome>;
  }

  operations(walletId: bigint, page: PageRequest): Promise<PageOutcome> {
    return this.#journal.ask(pageQuery(walletId, page)) as Promise<PageOutcome>;
  }

  /** Ends the connections; to be called when every call is answered. */
  async close(): Promise<void> {
    const lines = [...this.#slots, this.#balanceLine, this.#journalLine];
    await Promise.all(lines.map((line) => line.close()));
  }
}
