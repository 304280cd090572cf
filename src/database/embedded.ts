/**
 * The service's own PostgreSQL: started, started again when it dies, and ended.
 * Invariant: it never outlives its supervisor (on Linux by a parent-death signal), and no two
 * servers ever run on one folder (the folder's lock, then the wait for leftovers).
 */
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { keepAlive } from '../keep-alive.ts';
import type { Logger } from '../log.ts';
import type { ServerAddress } from '../server-address.ts';
import {
  type Cluster,
  EMBEDDED_NAME,
  endLeftovers,
  prepareCluster,
  readSocketDirectory,
  removeSocketDirectory,
} from './cluster.ts';
import { isLocked, lockDirectory } from './directory-lock.ts';
import { asServer, findBinaries } from './postgres-binaries.ts';

export interface EmbeddedOptions {
  dataDirectory: string;
  /** Connections that the workers may open together. */
  connections: number;
  logger: Logger;
}

/** Beside the workers' connections: migrations, the audit, a psql or two. */
const OTHER_CONNECTIONS = 30;

/** How long a fast shutdown may take before the server is told to drop everything. */
const STOP_MS = 30_000;

/** A running server; made by `startEmbedded`. */
export class EmbeddedDatabase {
  readonly address: ServerAddress;
  readonly #command: string[];
  readonly #cluster: Cluster;
  readonly #logger: Logger;
  readonly #unlock: () => void;
  #server: Bun.Subprocess | undefined;
  readonly #stopping = new AbortController();
  readonly #kept: Promise<void>;

  constructor(command: string[], cluster: Cluster, logger: Logger, unlock: () => void) {
    this.#command = command;
    this.#cluster = cluster;
    this.#logger = logger;
    this.#unlock = unlock;
    this.address = addressOf(cluster.socketDirectory);
    this.#kept = keepAlive(() => this.#live(), this.#stopping.signal);
  }

  /** Fast shutdown: open transactions roll back, everything is written, then the lock is freed. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#server?.kill('SIGINT');
    const force = setTimeout(() => this.kill(), STOP_MS);
    await this.#kept;
    clearTimeout(force);
    await removeSocketDirectory(this.#cluster);
    this.#unlock();
  }

  /** Immediate shutdown, after which the next start recovers from the log; loses nothing. */
  kill(): void {
    this.#stopping.abort();
    this.#server?.kill('SIGQUIT');
  }

  async #live(): Promise<void> {
    const { signal } = this.#stopping;
    await endLeftovers(this.#cluster);
    if (signal.aborted) return;
    this.#server = this.#spawn();
    const code = await this.#server.exited;
    if (signal.aborted) return;
    const { signalCode } = this.#server;
    this.#logger.error({ code, signalCode }, 'the embedded PostgreSQL ended; starting it again');
  }

  #spawn(): Bun.Subprocess {
    const server = Bun.spawn(this.#command, {
      // A group of its own: a terminal's Ctrl-C must reach the workers first and this last.
      detached: true,
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'pipe',
    });
    const lines = createInterface({ input: Readable.fromWeb(server.stderr as never) });
    lines.on('line', (line) => this.#log(line));
    return server;
  }

  #log(line: string): void {
    const level = /^(?:WARNING|ERROR|FATAL|PANIC):/.test(line) ? 'warn' : 'debug';
    this.#logger[level]({ postgres: line }, 'PostgreSQL says');
  }
}

/**
 * Starts the PostgreSQL under a data folder, making both when they do not exist.
 * Resolves when it is being started; use `waitUntilAnswers` to wait until it serves.
 * @throws StartError when the folder is locked or this machine has no such PostgreSQL.
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedDatabase> {
  const { dataDirectory, connections, logger } = options;
  const binaries = await findBinaries();
  await mkdir(dataDirectory, { recursive: true, mode: 0o711 });
  const locks = [lockDirectory(dataDirectory)];
  const unlock = () => {
    for (const free of locks) free();
  };
  try {
    const cluster = await prepareCluster(dataDirectory, binaries);
    // Again where the cluster really lies: a copy of the data folder may link to the same one.
    locks.push(lockDirectory(dirname(cluster.directory), dataDirectory));
    const settings = serverSettings(cluster, connections);
    const command = asServer(binaries.postgres, '-D', cluster.directory, ...settings);
    return new EmbeddedDatabase(command, cluster, logger, unlock);
  } catch (error) {
    unlock();
    throw error;
  }
}

/** Where the server of a data folder answers; undefined while no supervisor holds the folder. */
export async function findEmbedded(dataDirectory: string): Promise<ServerAddress | undefined> {
  if (!isLocked(dataDirectory)) return undefined;
  const socketDirectory = await readSocketDirectory(dataDirectory);
  return socketDirectory === undefined ? undefined : addressOf(socketDirectory);
}

function addressOf(socketDirectory: string): ServerAddress {
  const name = EMBEDDED_NAME;
  return { host: socketDirectory, port: 5432, user: name, password: '', name };
}

/** Durability settings are left at PostgreSQL's defaults, which are all on. */
function serverSettings({ socketDirectory }: Cluster, connections: number): string[] {
  const settings = {
    listen_addresses: '',
    // Said here, because the server would take PGPORT from the environment.
    port: '5432',
    // Quoted, because it is a list.
    unix_socket_directories: `"${socketDirectory.replaceAll('"', '""')}"`,
    unix_socket_permissions: '0700',
    max_connections: String(connections + OTHER_CONNECTIONS),
    log_line_prefix: '',
  };
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}
