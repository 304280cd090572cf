/**
 * The ledger over PostgreSQL: concurrent operations share a call and a commit, concurrent balances
 * a query. Invariant: it only puts the parts together; what is promised is kept by flight.ts and
 * sql/apply_operations.sql.
 */

import { Line } from '../database/line.ts';
import type { ServerAddress } from '../server-address.ts';
import { readBalances } from './balance-reader.ts';
import { Batcher, type BatchLimits } from './batcher.ts';
import { type FlightWatch, fly } from './flight.ts';
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

/** What waits, and what the connections do, at this moment. */
export interface LedgerLoad {
  /** Calls that wait, by what they ask for, and how many may. */
  queues: { name: string; length: number; limit: number }[];
  /** Connections by what they are for. */
  connections: { name: string; open: number; busy: number; limit: number }[];
}

/** See `Ledger` for what it answers. */
export class GroupCommitLedger implements Ledger {
  readonly #queueMax: number;
  readonly #slots: FlightSlot[];
  readonly #balanceLine: Line;
  readonly #journalLine: Line;
  readonly #operations: Batcher<Operation, OperationOutcome>;
  readonly #balances: Batcher<bigint, BalanceOutcome>;
  readonly #journal: Batcher<JournalQuery, MomentOutcome | PageOutcome>;

  constructor(address: ServerAddress, options: LedgerOptions, watch: FlightWatch) {
    const { attemptTimeoutMs, flightSlots } = options;
    this.#queueMax = options.queueMax;
    const slotOptions = { name: 'wallet-flight', attemptTimeoutMs };
    this.#slots = Array.from({ length: flightSlots }, () => new FlightSlot(address, slotOptions));
    this.#balanceLine = new Line(address, { name: 'wallet-balance', attemptTimeoutMs });
    this.#journalLine = new Line(address, { name: 'wallet-journal', attemptTimeoutMs });
    const carriers = this.#slots.map((slot) => (calls: Parameters<typeof fly>[1]) => {
      return fly(slot, calls, watch);
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

  load(): LedgerLoad {
    const limit = this.#queueMax;
    const flightLines = this.#slots.map(({ line }) => line);
    return {
      queues: [
        { name: 'operations', length: this.#operations.length, limit },
        { name: 'balances', length: this.#balances.length, limit },
        { name: 'journal', length: this.#journal.length, limit },
      ],
      connections: [
        { name: 'flights', ...useOf(flightLines) },
        { name: 'balances', ...useOf([this.#balanceLine]) },
        { name: 'journal', ...useOf([this.#journalLine]) },
      ],
    };
  }

  /** Ends the connections; to be called when every call is answered. */
  async close(): Promise<void> {
    const lines = [...this.#slots, this.#balanceLine, this.#journalLine];
    await Promise.all(lines.map((line) => line.close()));
  }
}

const useOf = (lines: Line[]) => ({
  open: lines.filter(({ isOpen }) => isOpen).length,
  busy: lines.filter(({ isBusy }) => isBusy).length,
  limit: lines.length,
});
