/**
 * The call of sql/apply_operations.sql: operations to arrays, arrays to outcomes.
 * Invariant: an answer for each operation, in its place, or an error.
 */
import { arrayElements, arrayText } from '../database/array-text.ts';
import type { Sql } from '../database/connection.ts';
import type { Decision, Operation, Versions } from './ledger.ts';

export interface Ticket {
  slot: string;
  sequence: number;
}

/** PostgreSQL's array texts, one element for each operation. */
interface AnswerRow {
  balances: string;
  versions: string;
  refusals: string | null;
  replays: string | null;
}

/**
 * Applies a flight, or repeats what its ticket was answered before.
 * @throws what PostgreSQL answers; see the function for its own errors.
 */
export async function applyOperations(sql: Sql, { slot, sequence }: Ticket, flight: Operation[]) {
  const [row] = await sql<AnswerRow[]>`
    select balances, versions, refusals, replays from apply_operations(
      ${flight[0]?.walletId ?? null}, ${slot}, ${sequence},
      ${walletIds(flight)}, ${amounts(flight)},
      ${optional(flight, ({ key }) => key && quoted(key))},
      ${optional(flight, ({ ifMatch }) => ifMatch && condition(ifMatch))},
      ${optional(flight, ({ ifNoneMatch }) => ifNoneMatch && condition(ifNoneMatch))}
    )`;
  if (!row) throw new Error('Bug: apply_operations returned no row');
  return decisions(row, flight.length);
}

const walletIds = (flight: Operation[]) => arrayText(flight.map(({ walletId }) => walletId));

/** Signed, as apply_operations takes them. */
const amounts = (flight: Operation[]) =>
  arrayText(flight.map(({ type, amount }) => (type === 'DEPOSIT' ? amount : -amount)));

/** An array with NULL where an operation has none; null when no operation has any. */
function optional(flight: Operation[], element: (operation: Operation) => string | undefined) {
  const elements = flight.map(element);
  if (elements.every((one) => one === undefined)) return null;
  return arrayText(elements.map((one) => one ?? 'NULL'));
}

const quoted = (text: string) => `"${text.replace(/["\\]/g, '\\$&')}"`;

const condition = (versions: Versions) => (versions === 'any' ? '"*"' : `"${arrayText(versions)}"`);

function decisions(row: AnswerRow, count: number): Decision[] {
  const [balances, versions] = [arrayElements(row.balances), arrayElements(row.versions)];
  const refusals = row.refusals === null ? undefined : arrayElements(row.refusals);
  const replays = row.replays === null ? undefined : arrayElements(row.replays);
  if (balances.length !== count || versions.length !== count)
    throw new Error(`Bug: ${balances.length} answers for ${count} operations`);
  return balances.map((balance, at) => {
    const refusal = refusals?.[at] ?? 'NULL';
    const decision: Decision =
      refusal === 'NULL'
        ? { kind: 'ok', balance: BigInt(balance), version: BigInt(versions[at] ?? '') }
        : refused(refusal, balance);
    if (replays?.[at] === 't') decision.isReplay = true;
    return decision;
  });
}

function refused(word: string, balance: string): Decision {
  switch (word) {
    case 'insufficient_funds':
      return { kind: word, balance: BigInt(balance) };
    case 'wallet_not_found':
    case 'balance_limit':
    case 'precondition_failed':
    case 'key_reused':
      return { kind: word };
    default:
      throw new Error(`Bug: apply_operations refused with "${word}"`);
  }
}
