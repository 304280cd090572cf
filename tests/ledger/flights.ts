/**
 * Flights sent to the SQL function alone, and what the model expects of them.
 * Invariant: nothing of src/ledger is used but its types, so that the function is tested as anybody
 * may call it; a flight goes out exactly when a test says so.
 */
import type { Sql } from '../../src/database/connection.ts';
import { errorCode } from '../../src/database/failure.ts';
import type { Operation, Versions } from '../../src/ledger/ledger.ts';
import { array, type JournalRow, type KeyRow } from '../helpers/journal.ts';
import { Books, keyName, type Outcome, type Use, type Wallet } from './model.ts';

/** What the model answers to a flight; the books change with it. */
export const expectedAnswers = (books: Books, flight: Operation[]): Outcome[] =>
  flight.map((operation) => books.apply(operation));

/** Each can be with another key that the flight has, and with a copy of it. */
const MEETINGS_MAX = 50;

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

  /**
   * Sends a new flight, as `copies` calls at once; all must be answered alike. If it met another
   * that recorded the same key of a wallet that does not exist, it goes again.
   */
  async fly(flight: Operation[], copies = 1): Promise<Outcome[]> {
    this.sequence += 1;
    const hasKey = flight.some(({ key }) => key !== undefined);
    const send = async (again = hasKey ? MEETINGS_MAX : 0): Promise<Outcome[]> => {
      try {
        return await this.send(this.sequence, flight);
      } catch (error) {
        if (again > 0 && errorCode(error) === '23505') return send(again - 1);
        throw error;
      }
    };
    const [answers = [], ...others] = await Promise.all(
      Array.from({ length: copies }, () => send()),
    );
    for (const other of others) {
      if (!Bun.deepEquals(other, answers)) throw new Error('copies were answered differently');
    }
    return answers;
  }

  /** Sends a flight under a number. */
  async send(sequence: number, flight: Operation[]): Promise<Outcome[]> {
    const ids = array(flight.map(({ walletId }) => walletId));
    const amounts = flight.map(({ type, amount }) => (type === 'DEPOSIT' ? amount : -amount));
    const [row] = await this.#sql<Record<keyof Row, string | null>[]>`
      select balances, versions, refusals, replays from apply_operations(
        ${flight[0]?.walletId ?? 0n}, ${this.name}, ${sequence}, ${ids}, ${array(amounts)},
        ${texts(flight.map(({ key }) => key))},
        ${texts(flight.map(({ ifMatch }) => versionsText(ifMatch)))},
        ${texts(flight.map(({ ifNoneMatch }) => versionsText(ifNoneMatch)))}
      )`;
    if (!row) throw new Error('apply_operations returned no row');
    const { balances, versions, refusals, replays } = row;
    const [balance, version] = [elements(balances), elements(versions)];
    const [refusal, replay] = [elements(refusals), elements(replays)];
    return flight.map((_, at) => ({
      kind: (refusal[at] as Outcome['kind'] | undefined) ?? 'ok',
      balance: integer(balance[at]),
      version: integer(version[at]),
      ...(replay[at] === 't' ? { isReplay: true } : {}),
    }));
  }
}

interface Row {
  balances: string;
  versions: string;
  refusals: string;
  replays: string;
}

const versionsText = (versions: Versions | undefined) =>
  versions === 'any' ? '*' : versions && array(versions);

/** A PostgreSQL array's text; null without any element. */
function texts(all: (string | undefined)[]): string | null {
  if (all.every((one) => one === undefined)) return null;
  // A JSON string of printable ASCII is quoted as PostgreSQL has it.
  return `{${all.map((one) => (one === undefined ? 'NULL' : JSON.stringify(one))).join()}}`;
}

/** Of a PostgreSQL array's text. */
function elements(text: string | null): (string | undefined)[] {
  const words = text?.slice(1, -1).split(',') ?? [];
  return words.map((word) => (word === 'NULL' ? undefined : word));
}

const integer = (digits: string | undefined) => (digits === undefined ? undefined : BigInt(digits));

export interface Flown {
  flight: Operation[];
  answers: Outcome[];
}

/** What is stored of some wallets. */
export interface Stored {
  journals: Map<bigint, JournalRow[]>;
  keys: KeyRow[];
}

/** Every fault that the stored rows show in the answers that flights of many callers were given. */
export function flownFaults(flown: Flown[], { journals, keys }: Stored): string[] {
  const ids = [...journals.keys()];
  const uses = new Map(keys.map((row) => [keyName(row), useOf(row)]));
  const faults = flown.flatMap(({ flight, answers }) =>
    ids
      .filter((id) => {
        const isHere = (_: unknown, at: number) => flight[at]?.walletId === id;
        const here = { flight: flight.filter(isHere), answers: answers.filter(isHere) };
        return !isExplained(id, journals.get(id) ?? [], uses, here);
      })
      .map((id) => {
        return `wallet ${id} never answered so: ${Bun.inspect({ flight, answers })}`;
      }),
  );
  const told = (id: bigint) =>
    flown.flatMap(({ flight, answers }) =>
      answers.filter((answer, at) => isApplied(answer) && flight[at]?.walletId === id),
    );
  const untold = ids.filter((id) => told(id).length !== journals.get(id)?.length);
  const firstUses = flown.flatMap((one) => one.flight.filter((_, at) => isFirstUse(one, at)));
  const decided = new Set(firstUses.map(keyName));
  return [
    ...faults,
    ...untold.map((id) => `wallet ${id}: a version told twice or never`),
    ...(firstUses.length === keys.length && decided.size === keys.length
      ? []
      : [`${keys.length} keys were decided ${firstUses.length} times`]),
  ];
}

const useOf = ({ type, amount, balance, version, refusal }: KeyRow): Use => ({
  type,
  amount,
  outcome: {
    kind: (refusal as Outcome['kind'] | null) ?? 'ok',
    balance: balance ?? undefined,
    version: version ?? undefined,
  },
});

const isApplied = ({ version, isReplay }: Outcome) => version !== undefined && !isReplay;

/** Whether it decided what its key is answered from then on. */
const isFirstUse = ({ flight, answers }: Flown, at: number) =>
  flight[at]?.key !== undefined && !answers[at]?.isReplay && answers[at]?.kind !== 'key_reused';

/** Whether the model, from some version of a wallet, gives these answers about it. */
function isExplained(
  id: bigint,
  journal: JournalRow[],
  uses: Map<string, Use>,
  here: Flown,
): boolean {
  const { flight, answers } = here;
  const first = answers.find(isApplied)?.version;
  const states: (Wallet | undefined)[] = [undefined, ...journal];
  const starts = first === undefined ? states : states.slice(Number(first) - 1, Number(first));
  const fresh = new Set(flight.filter((_, at) => isFirstUse(here, at)).map(keyName));
  const known = [...uses].filter(([name]) => !fresh.has(name));
  return starts.some((state) => {
    const wallet = state && { balance: state.balance, version: state.version };
    const books = new Books(wallet ? [[id, wallet]] : [], known);
    const isAnsweredSo = Bun.deepEquals(expectedAnswers(books, flight), answers);
    // And what it decided is what was stored.
    return (
      isAnsweredSo &&
      [...fresh].every((name) => {
        return Bun.deepEquals(books.keys.get(name), uses.get(name));
      })
    );
  });
}
