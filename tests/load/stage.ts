/**
 * What every measurement stands on: a temporary folder, an embedded PostgreSQL in it, and the end
 * of all that was started, in reverse order, also on Ctrl-C.
 * Invariant: nothing outlives `close`, and nothing listens beyond this machine.
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../../src/config.ts';
import { connect } from '../../src/database/connection.ts';
import { startEmbedded } from '../../src/database/embedded.ts';
import { migrate } from '../../src/database/migrations.ts';
import { waitUntilAnswers } from '../../src/database/readiness.ts';
import { createLogger } from '../../src/log.ts';
import type { ServerAddress } from '../../src/server-address.ts';

const logger = createLogger('bench', 'warn');

/** Workers of every contender. */
export const WORKERS = 2;

/** Room for all contenders at once: they stay up between their turns. */
const CONNECTIONS = 150;

const START_TIMEOUT_MS = 30_000;

/** Given to a command beyond the time it was told to take. */
const COMMAND_MARGIN_MS = 60_000;

/** Made by `openStage`. */
export interface Stage {
  folder: string;
  server: ServerAddress;
  /** Aborted by Ctrl-C. */
  stop: AbortSignal;
  /** Makes an empty, migrated database. */
  database: (name: string) => Promise<ServerAddress>;
  /** Ends something when the stage closes; the last one first. */
  onClose: (end: () => Promise<unknown>) => void;
  /** Runs a command to its end. @returns what it printed. @throws when it fails or hangs. */
  run: (command: string[], seconds?: number) => Promise<string>;
  close: () => Promise<void>;
}

/** Starts the database server. The caller closes what it opened. */
async function openStage(): Promise<Stage> {
  const stack = new AsyncDisposableStack();
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => stopping.abort());
  try {
    const folder = await mkdtemp(join(tmpdir(), 'wallet-bench-'));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    // The database's user must be able to enter when we are root.
    await chmod(folder, 0o711);
    const dataDirectory = join(folder, 'data');
    const embedded = await startEmbedded({ dataDirectory, connections: CONNECTIONS, logger });
    stack.defer(() => embedded.stop());
    return {
      folder,
      server: embedded.address,
      stop: stopping.signal,
      database: (name) => makeDatabase(embedded.address, name, stopping.signal),
      onClose: (end) => void stack.defer(async () => void (await end())),
      run: (command, seconds = 0) => runCommand(command, seconds, stopping.signal),
      close: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

async function makeDatabase(server: ServerAddress, name: string, signal: AbortSignal) {
  const admin = connect(server, { max: 1, name: 'wallet-bench' });
  const address = { ...server, name };
  const sql = connect(address, { max: 1, name: 'wallet-bench' });
  try {
    await waitUntilAnswers(admin, { timeoutMs: START_TIMEOUT_MS, signal, logger });
    await admin.unsafe(`create database ${name}`);
    await migrate(sql, join(projectRoot, 'sql'));
    return address;
  } finally {
    await Promise.all([admin.end({ timeout: 1 }), sql.end({ timeout: 1 })]);
  }
}

async function runCommand(command: string[], seconds: number, signal: AbortSignal) {
  const child = Bun.spawn(command, {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal,
    timeout: Math.round(seconds * 1000) + COMMAND_MARGIN_MS,
    killSignal: 'SIGKILL',
  });
  const [code, output, complaint] = await Promise.all([
    child.exited,
    child.stdout.text(),
    child.stderr.text(),
  ]);
  signal.throwIfAborted();
  if (code !== 0) throw new Error(`${command[0]} ended with ${code}: ${complaint.trim()}`);
  return output;
}

/** Runs `measure` on a stage, ends everything, and exits with what it returns. */
export async function onStage(measure: (stage: Stage) => Promise<number>): Promise<never> {
  const stage = await openStage();
  let code = 130;
  try {
    code = await measure(stage);
  } catch (error) {
    if (!stage.stop.aborted) {
      code = 1;
      process.stderr.write(`${Bun.inspect(error)}\n`);
    }
  }
  await stage.close();
  process.exit(code);
}
