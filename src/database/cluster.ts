/**
 * The embedded PostgreSQL's files: where they lie, how they are made, and what still runs on them.
 * Invariant: a cluster folder that exists is complete; it is made under another name and renamed.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, realpath, rename, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  asNamedUser,
  type Binaries,
  canEnter,
  giveToNamedUser,
  giveToServer,
  ROOT_LIBRARY,
  run,
} from './postgres-binaries.ts';

export interface Cluster {
  /** PGDATA. */
  directory: string;
  /** The 0700 folder that holds the unix socket, the only way in. */
  socketDirectory: string;
}

/** The superuser and the database that the embedded server has. */
export const EMBEDDED_NAME = 'wallet';

/** How the name of a cluster begins that is being made. */
const UNFINISHED = 'cluster.unfinished';

/** A unix socket's path may have 107 bytes on Linux and 103 on macOS. */
const SOCKET_PATH_MAX_BYTES = 103;

/** What a server that should have ended is sent, after how long a wait each. */
const ENDINGS: { waitMs: number; signal: NodeJS.Signals }[] = [
  { waitMs: 5000, signal: 'SIGINT' },
  { waitMs: 30_000, signal: 'SIGQUIT' },
  { waitMs: 5000, signal: 'SIGKILL' },
];

/** Finds or makes the cluster under a data folder that the caller has locked. */
export async function prepareCluster(dataDirectory: string, binaries: Binaries): Promise<Cluster> {
  const home = await findHome(dataDirectory);
  const directory = join(home, 'cluster');
  if (!existsSync(directory)) await makeCluster(home, directory, binaries);
  return { directory, socketDirectory: await makeSocketDirectory(home) };
}

/**
 * `postgres` under the data folder. Where root keeps the project closed to others (/root is 0700),
 * that name is a link to a folder that the server's user can reach.
 */
async function findHome(dataDirectory: string): Promise<string> {
  const home = join(dataDirectory, 'postgres');
  if (existsSync(home)) return realpath(home);
  if (await canEnter(dataDirectory)) {
    await mkdir(home, { mode: 0o700 });
    return realpath(home);
  }
  const reachable = join(ROOT_LIBRARY, `data-${randomUUID()}`);
  await mkdir(ROOT_LIBRARY, { recursive: true, mode: 0o755 });
  await mkdir(reachable, { mode: 0o700 });
  await symlink(reachable, home);
  return reachable;
}

async function makeCluster(home: string, directory: string, binaries: Binaries): Promise<void> {
  await removeUnfinished(home);
  const unfinished = join(home, `${UNFINISHED}.${randomUUID()}`);
  await giveToNamedUser(home);
  const settings = ['--auth=trust', '--encoding=UTF8', '--locale=C', '--no-instructions'];
  await run(asNamedUser(binaries.initdb, '-D', unfinished, '-U', EMBEDDED_NAME, ...settings));
  await createDatabase(unfinished, binaries.postgres);
  await giveToServer(home);
  await rename(unfinished, directory);
}

/** A process of a maker that was killed may still write there, so the name is not used again. */
async function removeUnfinished(home: string): Promise<void> {
  const names = (await readdir(home)).filter((name) => name.startsWith(UNFINISHED));
  const removals = names.map((name) => rm(join(home, name), { recursive: true, force: true }));
  await Promise.allSettled(removals);
}

/** In single-user mode, which reads statements from its standard input and needs no server. */
async function createDatabase(directory: string, postgres: string): Promise<void> {
  const server = asNamedUser(postgres, '--single', '-D', directory, 'postgres');
  await run(server, `create database ${EMBEDDED_NAME}\n`);
}

/** Beside the cluster, or, where that path is too long for a socket, under a new temporary name. */
async function makeSocketDirectory(home: string): Promise<string> {
  const beside = join(home, 'socket');
  const fits = Buffer.byteLength(join(beside, '.s.PGSQL.5432')) <= SOCKET_PATH_MAX_BYTES;
  const path = fits ? beside : await mkdtemp(join(tmpdir(), 'wallet-'));
  await mkdir(path, { recursive: true, mode: 0o700 });
  await giveToServer(path);
  return path;
}

/** Nothing is lost with it: the next start makes it again. */
export async function removeSocketDirectory({ socketDirectory }: Cluster): Promise<void> {
  await rm(socketDirectory, { recursive: true, force: true });
}

/** The socket folder of a server that runs, as its lock file says; its fifth line. */
export async function readSocketDirectory(dataDirectory: string): Promise<string | undefined> {
  const path = join(dataDirectory, 'postgres', 'cluster', 'postmaster.pid');
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split('\n')[4] || undefined;
}

/**
 * Ends every server process that still runs on the cluster, which only a dead supervisor can have
 * left behind: it is waited for, then told, then forced. Linux only; elsewhere PostgreSQL's own
 * lock file refuses a second server.
 */
export async function endLeftovers({ directory, socketDirectory }: Cluster): Promise<void> {
  for (const { waitMs, signal } of ENDINGS) {
    const deadline = Date.now() + waitMs;
    while (processesOn(directory).length > 0 && Date.now() < deadline) await sleep(50);
    for (const pid of processesOn(directory)) sendSignal(pid, signal);
  }
  if (process.platform !== 'linux') return;
  // No process is left, but the number in these may have been given to another one, and PostgreSQL
  // would take that for a live server.
  await rm(join(directory, 'postmaster.pid'), { force: true });
  await rm(join(socketDirectory, '.s.PGSQL.5432.lock'), { force: true });
}

/** A process may end by itself between the look and the signal. */
function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Every process of a PostgreSQL has its cluster as its working folder. */
function processesOn(directory: string): number[] {
  if (process.platform !== 'linux') return [];
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => isServer(pid, directory)).map(Number);
}

function isServer(pid: string, directory: string): boolean {
  try {
    const program = basename(readlinkSync(`/proc/${pid}/exe`)).replace(/ \(deleted\)$/, '');
    return program === 'postgres' && readlinkSync(`/proc/${pid}/cwd`) === directory;
  } catch {
    return false;
  }
}
