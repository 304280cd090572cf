/**
 * The same upsert straight on the database: pgbench over its unix socket, without HTTP.
 * Only where pgbench is installed; any version of the last years speaks to the embedded server.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ServerAddress } from '../../src/server-address.ts';
import type { Contender } from './contenders.ts';
import type { LoadResult } from './load-generator.ts';
import type { Stage } from './stage.ts';
import { AMOUNT, type Workload } from './workloads.ts';

const script = ({ first, count }: Workload['wallets']) => `
\\set id random(${first}, ${first + count - 1})
insert into wallets (id, amount, version, changed_at) values (:id, ${AMOUNT}, 0, '-infinity')
on conflict (id) do update set amount = wallets.amount + excluded.amount
where wallets.amount <= 9223372036854775807 - excluded.amount
returning amount;
`;

const THREADS_MAX = 2;

/** pgbench with a number of clients; null where it is not installed. */
export function pgbenchContender(
  stage: Stage,
  database: ServerAddress,
  clients: number,
): Contender | null {
  const program = Bun.which('pgbench');
  if (!program) return null;
  const { host, port, user, name } = database;
  return {
    name: 'pgbench',
    variant: `${clients} clients`,
    database,
    load: async ({ wallets }, seconds) => {
      const file = join(stage.folder, `${crypto.randomUUID()}.sql`);
      await writeFile(file, script(wallets));
      const threads = Math.min(THREADS_MAX, clients);
      const connection = ['-h', host, '-p', String(port), '-U', user];
      const size = ['-c', String(clients), '-j', String(threads), '-T', String(seconds)];
      const command = [program, '-n', '-M', 'prepared', ...size, '-f', file, ...connection, name];
      return parse(await stage.run(command, seconds));
    },
  };
}

function parse(output: string): LoadResult {
  const number = (pattern: RegExp) => Number(pattern.exec(output)?.[1] ?? Number.NaN);
  return {
    perSecond: number(/^tps = ([\d.]+)/m),
    ok: number(/transactions actually processed: (\d+)/),
    others: {},
    p50Ms: Number.NaN,
    p99Ms: Number.NaN,
  };
}
