/**
 * A TCP proxy in front of the database's unix socket that loses connections on purpose.
 * Invariant: it changes no byte; what it does not forward reaches nobody. It knows of PostgreSQL's
 * protocol only when a query is sent and when its transaction is over.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { ServerAddress } from '../../src/server-address.ts';

/**
 * - `before`: a flight is about to be forwarded; the server never sees it.
 * - `after`: its answer is about to be forwarded; it was committed, and nobody hears of it.
 */
export type Moment = 'before' | 'after';

/** The first byte of Bind, which is sent once for every execution of a statement. */
const BIND = 0x42;

/** ReadyForQuery outside of a transaction, the last bytes of every answer. */
const READY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);

/** The beginning of the startup message of the connections that carry flights, as Line opens. */
const FLIGHT = Buffer.from('application_name\0wallet-flight\0');

interface Pair {
  client: Socket;
  server: Socket;
  isFlight: boolean;
  /** A flight was forwarded, and its answer was not. */
  isInTheAir: boolean;
}

/** Use `startProxy`. */
export class DatabaseProxy {
  readonly address: ServerAddress;
  /** How many cuts took place, of a flight each. */
  cuts = 0;
  readonly #listener: Server;
  readonly #pairs = new Set<Pair>();
  #trap: { moment: Moment; spring: () => void } | undefined;
  #onForwarded = () => {};
  #isFrozen = false;
  #isDown = false;

  constructor(target: ServerAddress, listener: Server, port: number) {
    this.address = { ...target, host: '127.0.0.1', port };
    this.#listener = listener;
    const path = join(target.host, `.s.PGSQL.${target.port}`);
    listener.on('connection', (client) => this.#join(client, connect(path)));
  }

  /** Cuts every connection at the next flight; resolves when that is done. */
  cutAll(moment: Moment): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#trap = { moment, spring: resolve };
    return promise;
  }

  /** Freezes behind the next flight: the server has it, and its answer stays there. */
  freezeBehindFlight(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onForwarded = () => {
      this.#onForwarded = () => {};
      this.freeze();
      resolve();
    };
    return promise;
  }

  /** Bytes stay where they are until `thaw`. */
  freeze(): void {
    this.#isFrozen = true;
    for (const { client, server } of this.#pairs) for (const end of [client, server]) end.pause();
  }

  thaw(): void {
    this.#isFrozen = false;
    for (const { client, server } of this.#pairs) for (const end of [client, server]) end.resume();
  }

  /** Ends every connection and each new one until `raise`. */
  fell(): void {
    this.#isDown = true;
    this.#destroyAll();
  }

  raise(): void {
    this.#isDown = false;
  }

  async stop(): Promise<void> {
    this.fell();
    await new Promise((resolve) => this.#listener.close(resolve));
  }

  #join(client: Socket, server: Socket): void {
    const pair: Pair = { client, server, isFlight: false, isInTheAir: false };
    this.#pairs.add(pair);
    const part = () => {
      this.#pairs.delete(pair);
      for (const end of [client, server]) end.destroy();
    };
    for (const end of [client, server]) end.on('error', part).on('close', part);
    client.on('data', (bytes) => this.#toServer(pair, bytes as Buffer));
    server.on('data', (bytes) => this.#toClient(pair, bytes as Buffer));
    if (this.#isDown) part();
    else if (this.#isFrozen) for (const end of [client, server]) end.pause();
  }

  #toServer(pair: Pair, bytes: Buffer): void {
    pair.isFlight ||= bytes.includes(FLIGHT);
    const takesOff = pair.isFlight && bytes[0] === BIND;
    if (takesOff && this.#springs('before')) return;
    pair.server.write(bytes);
    pair.isInTheAir ||= takesOff;
    if (takesOff) this.#onForwarded();
  }

  #toClient(pair: Pair, bytes: Buffer): void {
    if (pair.isInTheAir && bytes.subarray(-READY.length).equals(READY)) {
      pair.isInTheAir = false;
      if (this.#springs('after')) return;
    }
    pair.client.write(bytes);
  }

  #springs(moment: Moment): boolean {
    const trap = this.#trap;
    if (trap?.moment !== moment) return false;
    this.#trap = undefined;
    this.cuts += 1;
    this.#destroyAll();
    trap.spring();
    return true;
  }

  #destroyAll(): void {
    for (const { client, server } of this.#pairs) for (const end of [client, server]) end.destroy();
  }
}

/** A proxy on a free port of this machine in front of a server that is reached by unix socket. */
export async function startProxy(target: ServerAddress): Promise<DatabaseProxy> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('Bug: it has no port');
  return new DatabaseProxy(target, listener, address.port);
}
