/**
 * `bun run soak`: the real service under full load for ten minutes, watched from outside.
 * Ends with 1 when memory or latency drift, an answer was wrong, or the books do not balance.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { connect } from '../../src/database/connection.ts';
import { audit } from '../../src/ledger/audit.ts';
import type { ServerAddress } from '../../src/server-address.ts';
import { startService } from './contenders.ts';
import { findGenerator } from './find-generator.ts';
import type { LoadGenerator, LoadResult } from './load-generator.ts';
import { type ProcessMemory, sampleMemory } from './processes.ts';
import {
  judgeSoak,
  type Minute,
  printMinute,
  printSoak,
  type SoakResults,
} from './soak-verdict.ts';
import { onStage, type Stage } from './stage.ts';
import { round } from './statistics.ts';
import { depositsTo, HOT_WALLET } from './workloads.ts';

const HELP = `bun run soak [options]
  --minutes N      10; at least 3
  --connections N  256; more than QUEUE_MAX for both workers together is overload
`;

const MINUTE_SECONDS = 60;
const SAMPLE_MS = 10_000;

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    connections: { type: 'string', default: '256' },
    help: { type: 'boolean' },
  },
});
const minutes = Number(options.minutes);
const connections = Number(options.connections);
if (options.help || !(minutes >= 3) || !(connections >= 1)) {
  process.stdout.write(HELP);
  process.exit(options.help ? 0 : 2);
}
await onStage(soak);

async function soak(stage: Stage): Promise<number> {
  const generator = await findGenerator(stage);
  const database = await stage.database('soak');
  const base = await startService(stage, { database });
  const results: SoakResults = { connections, minutes: [], audit: await books(database) };
  while (results.minutes.length < minutes) {
    const minute = await watchMinute(generator, base);
    results.minutes.push(minute);
    printMinute(results.minutes.length, minute);
    stage.stop.throwIfAborted();
  }
  results.audit = await books(database);
  const verdict = judgeSoak(results, generator.isExact);
  printSoak(results, verdict);
  const file = join(import.meta.dir, 'soak.json');
  await writeFile(file, `${JSON.stringify({ ...results, verdict }, null, 2)}\n`);
  return verdict.every(({ holds }) => holds) ? 0 : 1;
}

/** One run of the generator, and what the processes held meanwhile. */
async function watchMinute(generator: LoadGenerator, base: string): Promise<Minute> {
  const samples: ProcessMemory[][] = [];
  let isOver = false;
  const traffic = depositsTo(HOT_WALLET, 1);
  const load = generator.run({ traffic, base, connections, seconds: MINUTE_SECONDS });
  const watch = async () => {
    for (;;) {
      await Promise.race([sleep(SAMPLE_MS), load]);
      if (isOver) return;
      samples.push(sampleMemory());
    }
  };
  const watching = watch();
  const result = await load;
  isOver = true;
  await watching;
  return { ...withoutNoise(result), samples };
}

function withoutNoise({ perSecond, ok, others, p50Ms, p99Ms }: LoadResult) {
  const rounded = { perSecond: round(perSecond, 1), p50Ms: round(p50Ms), p99Ms: round(p99Ms) };
  return { ...rounded, ok, others };
}

async function books(database: ServerAddress): Promise<SoakResults['audit']> {
  const sql = connect(database, { max: 1, name: 'wallet-audit' });
  try {
    const { operations, faults } = await audit(sql, () => {});
    return { operations, faults: faults.length };
  } finally {
    await sql.end({ timeout: 1 });
  }
}
