/**
 * The real service as a child process: a free port, an environment and a config file of its own.
 * Invariant: no setting of the developer reaches it, every wait is bounded, and `endServices`
 * leaves no process and no folder of it behind, whatever the test did.
 */
import { readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { realpath, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectRoot } from '../../src/config.ts';
import { ROOT_LIBRARY } from '../../src/database/postgres-binaries.ts';
import { databaseVariables } from '../../src/own-database.ts';
import type { ServerAddress } from '../../src/server-address.ts';
import type { Environment } from '../../src/settings.ts';
import { WALLETS } from './app.ts';
import { temporaryFolder } from './database.ts';

interface ServiceOptions {
  command?: 'start' | 'dev';
  /** The project that is run, instead of this one. */
  root?: string;
  port?: number;
  metricsPort?: number;
  /** Without it and without variables that name a server, the service runs its own database. */
  database?: ServerAddress;
  dataDirectory?: string;
  variables?: Environment;
  /** The text of the file that is given with --config. */
  configText?: string;
}

type LogLine = Record<string, unknown> & { msg: string; role: string };

/** The variable by which the processes of one service are found. */
const MARK = 'WALLET_TEST_SERVICE';

/** Ends the service even if the test run is killed. */
const endsWithUs = Bun.which('setpriv') ? ['setpriv', '--pdeathsig', 'TERM'] : [];

const EXIT_MS = 15_000;
const START_MS = 20_000;

let services: TestService[] = [];

/** Starts `bun src/main.ts` and returns at once; see `listening`. */
export async function startService(options: ServiceOptions = {}): Promise<TestService> {
  const folder = await temporaryFolder();
  await writeFile(join(folder, 'own.env'), options.configText ?? '');
  const service = new TestService(folder, options);
  services.push(service);
  return service;
}

/** To be called after each test or file that starts services. */
export async function endServices(): Promise<void> {
  const all = services.reverse();
  services = [];
  // One by one, because a later one may have the data folder of an earlier one.
  for (const service of all) await service.end();
}

/** Use `startService`. */
export class TestService {
  readonly port: number;
  readonly metricsPort: number;
  readonly dataDirectory: string;
  readonly exited: Promise<number>;
  /** Everything that it and its workers printed so far. */
  stdout = '';
  stderr = '';
  readonly #mark = crypto.randomUUID();
  readonly #folder: string;
  readonly #child: Bun.ReadableSubprocess;

  constructor(folder: string, options: ServiceOptions) {
    const { command = 'start', root = projectRoot, database, variables } = options;
    this.port = options.port ?? freePort();
    this.metricsPort = options.metricsPort ?? freePort();
    this.dataDirectory = options.dataDirectory ?? join(folder, 'data');
    this.#folder = folder;
    const words = ['src/main.ts', command, '--config', join(folder, 'own.env')];
    this.#child = Bun.spawn([...endsWithUs, process.execPath, ...words], {
      cwd: root,
      env: {
        PATH: process.env.PATH,
        [MARK]: this.#mark,
        APP_ADDRESS: `127.0.0.1:${this.port}`,
        METRICS_ADDRESS: `127.0.0.1:${this.metricsPort}`,
        DATA_DIR: this.dataDirectory,
        WORKERS: '2',
        ...(database ? databaseVariables(database) : {}),
        ...variables,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own, as a terminal gives it one.
      detached: true,
    });
    const printed = Promise.all([this.#collect('stdout'), this.#collect('stderr')]);
    // Who is left behind may hold the outputs open; that must not hide that it is left behind.
    this.exited = this.#child.exited.then(async (code) => {
      await Promise.race([printed, sleep(50)]);
      return code;
    });
  }

  async #collect(name: 'stdout' | 'stderr'): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#child[name]) {
      this[name] += decoder.decode(chunk, { stream: true });
    }
  }

  /** The lines of the log so far that hold a text; throws at a line that is not JSON. */
  logged(text = ''): LogLine[] {
    const lines: LogLine[] = this.stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
    return lines.filter(({ msg }) => msg.includes(text));
  }

  /** Waits until a line with this text is logged. */
  async waitFor(text: string): Promise<LogLine> {
    let ended = false;
    this.exited.then(() => {
      ended = true;
    });
    const logged = () => this.logged(text)[0];
    await until(() => ended || logged() !== undefined, text, START_MS).catch(() => {});
    const line = logged();
    if (line) return line;
    throw new Error(`"${text}" was not logged:\n${this.stdout}${this.stderr}`);
  }

  async listening(): Promise<this> {
    await this.waitFor('listening on');
    return this;
  }

  /** The exit code, within a bound. */
  async exit(timeoutMs = EXIT_MS): Promise<number> {
    const code = await Promise.race([this.exited, sleep(timeoutMs, 'late', { ref: false })]);
    if (code !== 'late') return code as number;
    throw new Error(`it did not end in ${timeoutMs} ms:\n${this.stdout}${this.stderr}`);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Ctrl-C in a terminal: the whole group gets it. */
  interrupt(): void {
    process.kill(-this.#child.pid, 'SIGINT');
  }

  /** One request on a connection of its own. */
  async request(path: string, init: RequestInit = {}): Promise<{ status: number; text: string }> {
    const response = await fetch(`http://127.0.0.1:${this.port}${path}`, {
      headers: { connection: 'close', 'content-type': 'application/json' },
      signal: AbortSignal.timeout(EXIT_MS),
      ...init,
    });
    return { status: response.status, text: await response.text() };
  }

  deposit(id: bigint, amount: bigint): Promise<{ status: number; text: string }> {
    const body = `{"walletID":${id},"operationType":"DEPOSIT","amount":${amount}}`;
    return this.request(WALLETS, { method: 'POST', body });
  }

  /** The ids of the supervisor, its workers and the PostgreSQL in its DATA_DIR (Linux only). */
  processes(dataDirectory = this.dataDirectory): number[] {
    const home = look(() => realpathSync(join(dataDirectory, 'postgres'))) || dataDirectory;
    const marked = (pid: string) =>
      look(() => readFileSync(`/proc/${pid}/environ`, 'utf8')).includes(this.#mark);
    const inside = (pid: string) =>
      look(() => readlinkSync(`/proc/${pid}/cwd`)).startsWith(`${home}/`);
    const names = process.platform === 'linux' ? readdirSync('/proc') : [];
    const pids = names.filter((name) => /^\d+$/.test(name));
    return pids.filter((pid) => marked(pid) || inside(pid)).map(Number);
  }

  workers(): number[] {
    return this.processes().filter((pid) => commandOf(pid).endsWith('\0worker\0'));
  }

  /** Ends all that is left of it, and removes its data. */
  async end(): Promise<void> {
    const own = join(this.#folder, 'data');
    this.signal('SIGTERM');
    await this.exit().catch(() => this.signal('SIGKILL'));
    for (const pid of this.processes(own)) look(() => `${process.kill(pid, 'SIGKILL')}`);
    await removeData(own);
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** The words of a process's command, each with a zero byte behind it. */
export function commandOf(pid: number): string {
  return look(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
}

/** Removes a DATA_DIR, also what lies elsewhere because the server's user could not reach it. */
export async function removeData(dataDirectory: string): Promise<void> {
  const home = await realpath(join(dataDirectory, 'postgres')).catch(() => '');
  if (home.startsWith(`${ROOT_LIBRARY}/data-`)) await rm(home, { recursive: true, force: true });
  await rm(dataDirectory, { recursive: true, force: true });
}

type Condition = () => boolean | Promise<boolean>;

/** Waits until `condition` holds. */
export async function until(condition: Condition, what: string, timeoutMs = 10_000) {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await sleep(20);
  }
}

/** A port below the range from which the system takes the ports of outgoing connections. */
export function freePort(): number {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    if (isFree(port)) return port;
  }
}

/** Whether no program listens on the port, shared or not. */
export function isFree(port: number): boolean {
  try {
    const socket = { data() {} };
    Bun.listen({ hostname: '127.0.0.1', port, exclusive: true, socket }).stop(true);
    return true;
  } catch {
    return false;
  }
}

/** What a process that ends meanwhile, or is another user's, does not show is empty. */
function look(at: () => string): string {
  try {
    return at();
  } catch {
    return '';
  }
}
