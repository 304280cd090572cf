/**
 * A place through which one flight at a time goes to PostgreSQL.
 * Invariant: no ticket is given twice; a flight that is sent twice with one ticket is applied once.
 */

import type { Sql } from '../database/connection.ts';
import { errorCode } from '../database/failure.ts';
import { type Attempt, type Failed, Line, type LineOptions } from '../database/line.ts';
import type { ServerAddress } from '../server-address.ts';
import { applyOperations, type Ticket } from './apply-operations.ts';
import type { Decision, Operation } from './ledger.ts';

/** What apply_operations raises when the slot's row is gone; nothing was applied. */
const NO_SUCH_SLOT = 'WS001';

/** A row in flight_slots, and the connection that serves it. */
export class FlightSlot {
  readonly line: Line;
  #slot = crypto.randomUUID();
  #sequence = 0;
  #isRegistered = false;

  constructor(address: ServerAddress, options: LineOptions) {
    this.line = new Line(address, options);
  }

  nextTicket(): Ticket {
    this.#sequence += 1;
    return { slot: this.#slot, sequence: this.#sequence };
  }

  /** Whether a flight can be sent at once; else `prepare` first. */
  get isReady(): boolean {
    return this.#isRegistered && this.line.isOpen;
  }

  /** Connects and registers; no flight is sent yet, so the reason why not is never `lost`. */
  async prepare(): Promise<Failed | undefined> {
    const refused = await this.line.open();
    if (refused || this.#isRegistered) return refused;
    const registered = await this.line.attempt(
      (sql) => sql`insert into flight_slots (slot) values (${this.#slot}) on conflict do nothing`,
    );
    if (registered.kind !== 'answered') return { kind: 'refused', error: registered.error };
    this.#isRegistered = true;
    return undefined;
  }

  /** Sends a flight through a ready slot; the answers are in the order of its operations. */
  async send(ticket: Ticket, flight: Operation[]): Promise<Attempt<Decision[]>> {
    const attempt = await this.line.attempt((sql) => applyOperations(sql, ticket, flight));
    if (attempt.kind !== 'final' || errorCode(attempt.error) !== NO_SUCH_SLOT) return attempt;
    // Somebody took the row for that of a dead process: go on under a new name.
    this.#slot = crypto.randomUUID();
    this.#isRegistered = false;
    return { kind: 'refused', error: attempt.error };
  }

  /** Gives the slot up; only between flights. */
  async close(): Promise<void> {
    if (this.#isRegistered) {
      await this.line.attempt((sql) => sql`delete from flight_slots where slot = ${this.#slot}`);
    }
    await this.line.close();
  }
}

/**
 * Removes the rows of processes long gone, which had no time to do it themselves. Should one be
 * alive after all, its next flight is refused and goes again through a new slot.
 */
export async function removeStaleSlots(sql: Sql): Promise<void> {
  await sql`delete from flight_slots where used_at < now() - interval '1 day'`;
}
