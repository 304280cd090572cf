/**
 * One connection that is used for one statement at a time and given up when it does not answer.
 * Invariant: an attempt is `lost` only if its statement was sent; while no connection stands,
 * nothing is sent, and the attempt is `refused`.
 */
import type { ServerAddress } from '../server-address.ts';
import { connect, type Sql } from './connection.ts';
import { classify, type Failure } from './failure.ts';

export type Failed = { kind: Failure; error: unknown };

export type Attempt<Value> = { kind: 'answered'; value: Value } | Failed;

export interface LineOptions {
  /** Shown in pg_stat_activity. */
  name: string;
  /** After this long without an answer an attempt is lost and its connection closed. */
  attemptTimeoutMs: number;
}

/** The server ends a statement this long after its client has given it up. */
const STATEMENT_MARGIN_MS = 1000;

/**
 * A lazily opened connection. Each client of the driver lives as long as its first connection: the
 * driver's own reconnection can leave a query waiting for ever (seen after every tenth kill).
 */
export class Line {
  readonly #address: ServerAddress;
  readonly #options: LineOptions;
  #client: Sql | undefined;
  #attempts = 0;

  constructor(address: ServerAddress, options: LineOptions) {
    this.#address = address;
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#client !== undefined;
  }

  /** Whether a statement is on its way. */
  get isBusy(): boolean {
    return this.#attempts > 0;
  }

  /** Opens the connection if none stands; why it could not is never `lost`. Never rejects. */
  async open(): Promise<Failed | undefined> {
    const opened = await this.#open();
    return opened.kind === 'answered' ? undefined : { kind: 'refused', error: opened.error };
  }

  /** Sends what `send` makes of the client: one statement. Never rejects. */
  async attempt<Value>(send: (sql: Sql) => Promise<Value>): Promise<Attempt<Value>> {
    const opened = await this.#open();
    if (opened.kind !== 'answered') return { kind: 'refused', error: opened.error };
    this.#attempts += 1;
    const attempt = await this.#settle(send(opened.value));
    this.#attempts -= 1;
    if (attempt.kind === 'lost') this.#drop(opened.value);
    return attempt;
  }

  /** Ends the connection after what it is doing, or after a second. */
  async close(): Promise<void> {
    await this.#client?.end({ timeout: 1 });
  }

  async #open(): Promise<Attempt<Sql>> {
    if (this.#client) return { kind: 'answered', value: this.#client };
    const { name, attemptTimeoutMs } = this.#options;
    const client = connect(this.#address, {
      max: 1,
      name,
      statementTimeoutMs: attemptTimeoutMs + STATEMENT_MARGIN_MS,
      onclose: () => this.#drop(client),
    });
    this.#client = client;
    const greeting = await this.#settle(client`select 1`.execute());
    if (greeting.kind === 'answered') return { kind: 'answered', value: client };
    this.#drop(client);
    return greeting;
  }

  async #settle<Value>(answer: Promise<Value>): Promise<Attempt<Value>> {
    const { attemptTimeoutMs } = this.#options;
    const { promise: late, resolve } = Promise.withResolvers<Attempt<Value>>();
    const error = new Error(`no answer in ${attemptTimeoutMs} ms`);
    const timer = setTimeout(() => resolve({ kind: 'lost', error }), attemptTimeoutMs);
    const settled = answer.then<Attempt<Value>, Attempt<Value>>(
      (value) => ({ kind: 'answered', value }),
      (failure: unknown) => ({ kind: classify(failure), error: failure }),
    );
    const attempt = await Promise.race([settled, late]);
    clearTimeout(timer);
    return attempt;
  }

  #drop(client: Sql): void {
    if (this.#client === client) this.#client = undefined;
    // Nobody waits for a dead connection's goodbye.
    client.end({ timeout: 0 }).catch(() => {});
  }
}
