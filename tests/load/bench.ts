/**
 * `bun run bench`: group commit beside its contenders in one run; see workloads.ts for what it
 * must reach. A whole run writes results.json and results.svg beside this file.
 * Ends with 1 when an answer or a sum was wrong; a ratio that was not reached is only printed.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { connect } from '../../src/database/connection.ts';
import { audit } from '../../src/ledger/audit.ts';
import { drawChart } from './chart.ts';
import { commitTimes, summarize } from './commit-time.ts';
import { startWorkers } from './contenders.ts';
import {
  COUNTING,
  type FeatureCost,
  KEYS,
  keyedDeposits,
  measureCost,
  plainDeposits,
} from './feature-cost.ts';
import { check, type Databases, openField } from './field.ts';
import { findGenerator } from './find-generator.ts';
import { FIRST_MINUTES, measureFirstMinute } from './first-minute.ts';
import { describeMachine } from './machine.ts';
import { measureOpenLoop } from './open-loop.ts';
import {
  type BenchResults,
  printFeatureCost,
  printFirstMinute,
  printMachine,
  printOpenLoop,
  printWorkload,
} from './results.ts';
import { measure } from './rounds.ts';
import { onStage, type Stage } from './stage.ts';
import { seed } from './wallets.ts';
import { workloads } from './workloads.ts';

const HELP = `bun run bench [options]
  --only NAME      rows whose name begins so; may be repeated (see --list)
  --rounds N       alternating rounds, 5
  --seconds N      of each load, 3; open loop and first minute take 20 times that
  --generator NAME oha, wrk or autocannon, instead of the first that is installed
  --list           the names of all rows
`;

const OPEN_LOOP = 'open-loop';
const COMMIT_SECONDS = 3;
/** 60 s at the default of 3. */
const LONG_ROW_FACTOR = 20;

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    generator: { type: 'string' },
    list: { type: 'boolean' },
    help: { type: 'boolean' },
  },
});
const { only, generator: generatorName } = options;
const pace = { rounds: Number(options.rounds), seconds: Number(options.seconds) };
const names = [...workloads, KEYS, COUNTING, { id: OPEN_LOOP }, ...FIRST_MINUTES].map(
  ({ id }) => id,
);
const isChosen = ({ id }: { id: string }) => {
  return only.length === 0 || only.some((name) => id.startsWith(name));
};

if (options.help || options.list || !names.some((id) => isChosen({ id }))) {
  process.stdout.write(options.list ? `${names.join('\n')}\n` : HELP);
  process.exit(options.help || options.list ? 0 : 2);
}
await onStage(bench);

async function bench(stage: Stage): Promise<number> {
  const generator = await findGenerator(stage, generatorName);
  const databases: Databases = {
    group: await stage.database('group_commit'),
    classical: await stage.database('classical'),
  };
  await Promise.all(Object.values(databases).map(seed));
  const results: BenchResults = {
    takenAt: new Date().toISOString(),
    command: ['bun run bench', ...process.argv.slice(2)].join(' '),
    machine: await describeMachine(stage, databases.group, generator.name),
    commit: summarize(await commitTimes(databases.classical, { seconds: COMMIT_SECONDS })),
    ...pace,
    workloads: [],
    featureCosts: [],
    firstMinutes: [],
    audit: { operations: 0, wallets: 0, faults: 0 },
  };
  printMachine(results);
  const { field, base } = await openField(stage, generator, databases);
  for (const workload of workloads.filter(isChosen)) {
    const result = await measure(workload, field, pace, generator.isExact);
    results.workloads.push(result);
    printWorkload(result);
  }
  const addCost = (cost: FeatureCost) => {
    results.featureCosts.push(cost);
    printFeatureCost(cost);
  };
  if (isChosen(KEYS)) {
    const able = generator.hasFreshKeys
      ? generator
      : await findGenerator(stage, undefined, ({ hasFreshKeys }) => hasFreshKeys);
    const sides = {
      with: { base, traffic: keyedDeposits },
      without: { base, traffic: plainDeposits },
    };
    addCost(await measureCost(KEYS, sides, able, databases.group, pace));
  }
  if (isChosen(COUNTING)) {
    const side = async (kind: string) => {
      const own = await startWorkers(stage, [kind], databases.group);
      await check(own);
      return { base: own, traffic: plainDeposits };
    };
    const sides = { with: await side('counted'), without: await side('uncounted') };
    addCost(await measureCost(COUNTING, sides, generator, databases.group, pace));
  }
  const longSeconds = LONG_ROW_FACTOR * pace.seconds;
  if (isChosen({ id: OPEN_LOOP }) && generator.hasOpenLoop) {
    const { classical } = databases;
    results.openLoop = await measureOpenLoop(base, generator, classical, longSeconds);
    printOpenLoop(results.openLoop);
  }
  for (const row of FIRST_MINUTES.filter(isChosen)) {
    const result = await measureFirstMinute(stage, generator, row, longSeconds);
    results.firstMinutes.push(result);
    printFirstMinute(result);
  }
  return finish(results, databases);
}

async function finish(results: BenchResults, { group }: Databases): Promise<number> {
  const sql = connect(group, { max: 1, name: 'wallet-audit' });
  const { operations, wallets, faults } = await audit(sql, () => {});
  await sql.end({ timeout: 1 });
  results.audit = { operations, wallets, faults: faults.length };
  const counts = `${operations} operations, ${wallets} wallets, ${faults.length} faults`;
  process.stdout.write(`\naudit of group commit: ${counts}\n`);
  if (only.length === 0) {
    const file = (name: string) => join(import.meta.dir, name);
    await writeFile(file('results.json'), `${JSON.stringify(results, null, 2)}\n`);
    await writeFile(file('results.svg'), drawChart(results));
  }
  const all = [...results.workloads, ...results.featureCosts];
  const wrong = all.reduce((sum, one) => sum + one.faults.length, faults.length);
  return wrong === 0 ? 0 : 1;
}
