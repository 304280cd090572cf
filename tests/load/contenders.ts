/**
 * The contenders: each a tree of processes behind one port, or pgbench, loaded through one face.
 * Invariant: contenders that speak HTTP run the same application with the same options and the
 * same number of workers; only the ledger differs.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectRoot } from '../../src/config.ts';
import { databaseVariables } from '../../src/own-database.ts';
import type { ServerAddress } from '../../src/server-address.ts';
import type { LoadGenerator, LoadResult } from './load-generator.ts';
import { type Stage, WORKERS } from './stage.ts';
import type { Workload } from './workloads.ts';

export const CONTENDERS = ['ceiling', 'group commit', 'one commit per request', 'pgbench'] as const;

export type ContenderName = (typeof CONTENDERS)[number];

export interface Contender {
  name: ContenderName;
  /** What sets it apart from its variants. */
  variant?: string;
  load: (workload: Workload, seconds: number) => Promise<LoadResult>;
  /** Where its balances are; none for those that forget. */
  database?: ServerAddress;
  /** `http://host:port`; none for pgbench. */
  base?: string;
}

const START_TIMEOUT_MS = 20_000;
const POLL_MS = 20;

const LOOPBACK = '127.0.0.1';

export interface ServiceOptions {
  database: ServerAddress;
  /** Adds to, or overrides, what the service is configured with. */
  variables?: Record<string, string> | undefined;
}

/**
 * The real service: `bun run start` with its supervisor.
 * @returns its address. It ends when the stage closes.
 */
export async function startService(stage: Stage, { database, variables }: ServiceOptions) {
  const port = freePort();
  // Instead of a config.env that may lie in the project.
  const config = join(stage.folder, 'empty.env');
  await writeFile(config, '');
  const main = join(projectRoot, 'src', 'main.ts');
  await start(stage, [main, 'start', '--config', config], port, { database, variables });
  const base = `http://${LOOPBACK}:${port}`;
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await isReady(base))) {
    stage.stop.throwIfAborted();
    if (Date.now() > deadline) throw new Error(`the service is not ready on ${base}`);
    await sleep(POLL_MS);
  }
  return base;
}

const isReady = (base: string) =>
  fetch(`${base}/readyz`).then(
    ({ ok }) => ok,
    () => false,
  );

/**
 * The application over another ledger; see contender-worker.ts for `words`.
 * @returns its address. It ends when the stage closes.
 */
export async function startWorkers(
  stage: Stage,
  words: string[],
  database: ServerAddress,
  count = WORKERS,
): Promise<string> {
  const port = freePort();
  const main = join(import.meta.dir, 'contender-worker.ts');
  const ready = Array.from({ length: count }, async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const worker = await start(stage, [main, ...words], port, { database }, resolve);
    const ended = worker.exited.then((code) => {
      throw new Error(`${words.join(' ')} ended with ${code} before it listened`);
    });
    await Promise.race([promise, ended]);
    ended.catch(() => {});
  });
  await Promise.all(ready);
  return `http://${LOOPBACK}:${port}`;
}

async function start(
  stage: Stage,
  words: string[],
  port: number,
  { database, variables }: ServiceOptions,
  onMessage: () => void = () => {},
): Promise<Bun.Subprocess> {
  const child = Bun.spawn([process.execPath, ...words], {
    env: {
      ...process.env,
      ...databaseVariables(database),
      APP_ADDRESS: `${LOOPBACK}:${port}`,
      METRICS_ADDRESS: `${LOOPBACK}:${freePort()}`,
      WORKERS: String(WORKERS),
      LOG_LEVEL: 'warn',
      ...variables,
    },
    stdio: ['ignore', 'inherit', 'inherit'],
    ipc: onMessage,
  });
  stage.onClose(() => {
    child.kill('SIGTERM');
    return child.exited;
  });
  return child;
}

/** Free when it was looked for; nothing else on this machine should be starting meanwhile. */
function freePort(): number {
  const listener = Bun.listen({ hostname: LOOPBACK, port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

/** A contender that speaks HTTP. */
export function httpContender(
  parts: Pick<Contender, 'name' | 'variant' | 'database'> & { base: string },
  generator: LoadGenerator,
): Contender {
  const { base } = parts;
  return {
    ...parts,
    load: ({ traffic, connections }, seconds) =>
      generator.run({ traffic, base, connections, seconds }),
  };
}
