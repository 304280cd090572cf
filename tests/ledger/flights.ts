/**
 * Flights sent to the SQL function alone, and what the model expects of them.
 * Invariant: nothing of src/ledger is used but its types, so that the function is tested as anybody
 * may call it; a flight goes out exactly when a test says so.
 */
import type { Sql } from '../../src/database/connection.ts';
import type { Operation } from '../../src/ledger/ledger.ts';
import { array, type JournalRow } from '../helpers/journal.ts';
import { apply, type Outcome, type Wallet } from './model.ts';

/** What apply_operations returns for one operation. */
export interface Answer {
  kind: Outcome['kind'];
  /** After the operation, or, if it was refused, at that moment; undefined without a wallet. */
  balance: bigint | undefined;
  /** The version that the operation made. */
  version: bigint | undefined;
}

/** What the model answers to a flight; the wallets change with it. */
export function expectedAnswers(wallets: Map<bigint, Wallet>, flight: Operation[]): Answer[] {
  return flight.map((operation) => {
    const { kind } = apply(wallets, operation);
    const wallet = wallets.get(operation.walletId);
    return { kind, balance: wallet?.balance, version: kind === 'ok' ? wallet?.version : undefined };
  });
}

/** A flight slot of a test's own. */
export class TestSlot {
  readonly name = crypto.randomUUID();
  sequence = 0;
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  async register(): Promise<this> {
    await this.#sql`insert into flight_slots (slot) values (${this.name})`;
    return this;
  }

  /** Sends a new flight, as `copies` calls at once; all must be answered alike. */
  async fly(flight: Operation[], copies = 1): Promise<Answer[]> {
    this.sequence += 1;
    const send = () => this.send(this.sequence, flight);
    const [answers = [], ...others] = await Promise.all(Array.from({ length: copies }, send));
    for (const other of others) {
      if (!Bun.deepEquals(other, answers)) throw new Error('copies were answered differently');
    }
    return answers;
  }

  /** Sends a flight under a number. */
  async send(sequence: number, flight: Operation[]): Promise<Answer[]> {
    const ids = array(flight.map(({ walletId }) => walletId));
    const amounts = flight.map(({ type, amount }) => (type === 'DEPOSIT' ? amount : -amount));
    const [row] = await this.#sql<{ balances: string; versions: string; refusals?: string }[]>`
      select balances, versions, refusals from apply_operations(
        ${flight[0]?.walletId ?? 0n}, ${this.name}, ${sequence}, ${ids}, ${array(amounts)}
      )`;
    if (!row) throw new Error('apply_operations returned no row');
    const [balances, versions] = [elements(row.balances), elements(row.versions)];
    const refusals = row.refusals ? elements(row.refusals) : [];
    return flight.map((_, at) => ({
      kind: (refusals[at] as Outcome['kind'] | undefined) ?? 'ok',
      balance: integer(balances[at]),
      version: integer(versions[at]),
    }));
  }
}

/** Of a PostgreSQL array's text. */
function elements(text: string): (string | undefined)[] {
  return text
    .slice(1, -1)
    .split(',')
    .map((element) => (element === 'NULL' ? undefined : element));
}

const integer = (digits: string | undefined) => (digits === undefined ? undefined : BigInt(digits));

export interface Flown {
  flight: Operation[];
  answers: Answer[];
}

/** Every fault that the journals show in the answers that flights of many callers were given. */
export function flownFaults(flown: Flown[], journals: Map<bigint, JournalRow[]>): string[] {
  const ids = [...journals.keys()];
  const faults = flown.flatMap(({ flight, answers }) =>
    ids
      .filter((id) => !isExplained(id, journals.get(id) ?? [], flight, answers))
      .map((id) => {
        return `wallet ${id} never answered so: ${Bun.inspect({ flight, answers })}`;
      }),
  );
  const told = (id: bigint) =>
    flown.flatMap(({ flight, answers }) =>
      answers.filter(({ version }, at) => version !== undefined && flight[at]?.walletId === id),
    );
  const untold = ids.filter((id) => told(id).length !== journals.get(id)?.length);
  return [...faults, ...untold.map((id) => `wallet ${id}: a version told twice or never`)];
}

/** Whether the model, from some version of a wallet, gives a flight these answers about it. */
function isExplained(
  id: bigint,
  journal: JournalRow[],
  flight: Operation[],
  answers: Answer[],
): boolean {
  const isHere = (_: unknown, at: number) => flight[at]?.walletId === id;
  const [operations, given] = [flight.filter(isHere), answers.filter(isHere)];
  const first = given.find(({ version }) => version !== undefined)?.version;
  const states: (Wallet | undefined)[] = [undefined, ...journal];
  const starts = first === undefined ? states : states.slice(Number(first) - 1, Number(first));
  return starts.some((state) => {
    const wallets = new Map(state ? [[id, state]] : []);
    return Bun.deepEquals(expectedAnswers(wallets, operations), given);
  });
}
