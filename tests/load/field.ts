/** Brings all contenders to the start: their answers are checked before the first load. */
import type { ServerAddress } from '../../src/server-address.ts';
import { checkAnswers } from './answers.ts';
import { type Contender, httpContender, startService, startWorkers } from './contenders.ts';
import type { LoadGenerator } from './load-generator.ts';
import { pgbenchContender } from './pgbench-contender.ts';
import type { Field } from './rounds.ts';
import type { Stage } from './stage.ts';

export interface Databases {
  group: ServerAddress;
  /** For all that keep no journal. */
  classical: ServerAddress;
}

/** Connections of each worker, and clients of pgbench, of which the best is taken per workload. */
const POOL_SIZES = [1, 4, 10];
const PGBENCH_CLIENTS = [1, 4, 64];

/** A wallet that no workload uses; each check has its own. */
let checkedWallet = 8_000_000;

/** @returns the contenders, and the address of the service alone. */
export async function openField(stage: Stage, generator: LoadGenerator, databases: Databases) {
  const { group, classical } = databases;
  // Two workers of the ceiling do not see each other's wallets, so one is asked.
  await check(await startWorkers(stage, ['memory'], classical, 1));
  const ceiling = await startWorkers(stage, ['memory'], classical);
  const base = await startService(stage, { database: group });
  await check(base);
  const field: Field = {
    ceiling: [httpContender({ name: 'ceiling', base: ceiling }, generator)],
    'group commit': [httpContender({ name: 'group commit', base, database: group }, generator)],
    'one commit per request': [],
    pgbench: PGBENCH_CLIENTS.map((clients) => pgbenchContender(stage, classical, clients)).filter(
      (contender): contender is Contender => contender !== null,
    ),
  };
  for (const size of POOL_SIZES) {
    const own = await startWorkers(stage, ['classical', String(size)], classical);
    await check(own);
    const variant = `pool of ${size}`;
    const parts = { name: 'one commit per request', variant, base: own } as const;
    field['one commit per request'].push(
      httpContender({ ...parts, database: classical }, generator),
    );
  }
  return { field, base };
}

/** Asks for all kinds of answers, so that those who are compared are equally warm as well. */
export function check(base: string): Promise<void> {
  checkedWallet += 1;
  return checkAnswers(base, checkedWallet);
}
