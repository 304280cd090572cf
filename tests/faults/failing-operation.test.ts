/**
 * SQL that fails for one operation of a batch: that one is answered 500 and had no effect, and its
 * neighbours never notice; SQL that fails for a while is tried again until it does not.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { connect, type Sql } from '../../src/database/connection.ts';
import { migrate } from '../../src/database/migrations.ts';
import { refusalText, startApp, successText, type TestApp } from '../helpers/app.ts';
import { Callers } from '../helpers/callers.ts';
import { emptyDatabase, freshWalletId, sqlFolder } from '../helpers/database.ts';
import { historyFaults } from '../helpers/history.ts';
import { array, auditFaults } from '../helpers/journal.ts';
import { recordingLogger } from '../helpers/logger.ts';
import { until } from '../helpers/service.ts';
import { SCENARIO_TIMEOUT_MS } from './scenario.ts';

setDefaultTimeout(SCENARIO_TIMEOUT_MS);

const BATCH = 40;

const { logger, lines } = recordingLogger();
let sql: Sql;
let app: TestApp;
beforeAll(async () => {
  const database = await emptyDatabase();
  sql = connect(database, { max: 3, name: 'wallet-test-failing' });
  await migrate(sql, sqlFolder);
  app = await startApp({ database, logger, flightSlots: 1 });
});
afterAll(async () => {
  await app.stop();
  await sql.end({ timeout: 1 });
});

/** Runs `work` while a statement is executed for every row that enters the journal. */
async function whileTriggered(
  statement: string,
  options: { when?: string; atCommit?: boolean },
  work: () => Promise<void>,
): Promise<void> {
  const { when = 'true', atCommit = false } = options;
  const [kind, timing] = atCommit
    ? ['constraint trigger', 'deferrable initially deferred']
    : ['trigger', ''];
  await sql.unsafe(`
    create function disturb() returns trigger language plpgsql as $$
    begin ${statement}; return null; end $$;
    create ${kind} disturb after insert on operations ${timing}
      for each row when (${when}) execute function disturb()`);
  await work().finally(() => sql`drop function disturb cascade`);
}

/** Posts to all wallets at once, while another flight is in the air, so that they share one. */
async function depositTogether(ids: bigint[]) {
  const first = freshWalletId();
  await app.deposit(first, 1n);
  const answers: Promise<{ status: number; text: string }>[] = [];
  await sql.begin(async (holder) => {
    await holder`select from wallets where id = ${first} for update`;
    answers.push(app.deposit(first, 1n));
    const blocked = () => sql`
      select from pg_stat_activity
      where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0`;
    await until(async () => (await blocked()).length > 0, 'the first flight to wait');
    answers.push(...ids.map((id) => app.deposit(id, 5n)));
    // Answered while nothing else is, so all are in the process by then.
    await app.request('/livez');
  });
  return (await Promise.all(answers)).slice(1);
}

test.each([
  ['its statement', "raise 'no'", false],
  ['its COMMIT', "raise 'no'", true],
  ['a number out of range', 'perform 9223372036854775807 + new.amount', false],
  ['an internal error', "raise 'no' using errcode = 'XX000'", false],
])('only the operation at fault is answered 500: %s', async (_, statement, atCommit) => {
  const ids = Array.from({ length: BATCH }, freshWalletId);
  const poison = ids[17] as bigint;
  await whileTriggered(statement, { when: `new.wallet_id = ${poison}`, atCommit }, async () => {
    const logged = lines.length;
    const answers = await depositTogether(ids);
    expect(answers.map(({ status, text }) => [status, text])).toEqual(
      ids.map((id) =>
        id === poison ? [500, refusalText('internal error')] : [200, successText(id, 5n)],
      ),
    );
    expect(lines.slice(logged).map(({ msg }) => msg)).toEqual(['request failed']);
    // The others went in ever smaller flights, but not alone.
    const flights = await sql`
      select distinct created_at from operations where wallet_id = any (${array(ids)}::bigint[])`;
    expect(flights.length).toBeLessThan(BATCH / 2);
  });
  expect(await sql`select from operations where wallet_id = ${poison}`).toHaveLength(0);
  expect(await sql`select from wallets where id = ${poison}`).toHaveLength(0);
  expect((await app.deposit(poison, 7n)).text).toBe(successText(poison, 7n));
  expect(await auditFaults(sql, ids)).toEqual([]);
});

test('several operations at fault are each found, on whatever wallets they are', async () => {
  const [hot = 0n, ...ids] = Array.from({ length: BATCH }, freshWalletId);
  const when = `new.wallet_id = ${hot}`;
  await whileTriggered("raise 'no'", { when }, async () => {
    const answers = await depositTogether([hot, ...ids, hot, hot]);
    const failed = [0, ids.length + 1, ids.length + 2];
    expect(answers.map(({ status }) => status)).toEqual(
      answers.map((_, at) => (failed.includes(at) ? 500 : 200)),
    );
  });
  expect(await sql`select from wallets where id = ${hot}`).toHaveLength(0);
  expect(await auditFaults(sql, [hot, ...ids])).toEqual([]);
});

test.each([
  ['serialization failures', '40001', false],
  ['serialization failures at COMMIT', '40001', true],
  ['deadlocks', '40P01', false],
  ['full disks', '53100', false],
  ['cancelled queries', '57014', false],
])('%s that pass are a pause and no error', async (_, code, atCommit) => {
  // Every third transaction fails, so that the next attempt of its flight succeeds.
  const statement = `if pg_current_xact_id()::text::bigint % 3 = 0 then
    raise 'not now' using errcode = '${code}'; end if`;
  await whileTriggered(statement, { atCommit }, async () => {
    const callers = new Callers({ urls: [app.url], count: 12 });
    await until(() => callers.posts.length > 200, '200 answers', 20_000);
    await callers.stop();
    expect(await historyFaults(sql, callers.posts, callers.reads)).toEqual([]);
    expect(callers.count('not_applied', 'outcome_unknown', 'failed', 'cut')).toBe(0);
  });
  expect(lines.filter(({ code: logged }) => logged === code)).not.toEqual([]);
});

test('slots whose rows are removed are replaced, which is a pause and no error', async () => {
  const callers = new Callers({ urls: [app.url], count: 12 });
  for (let removed = 0; removed < 5; removed += 1) {
    const before = callers.posts.length;
    await until(() => callers.posts.length > before + 50, '50 answers', 20_000);
    await sql`delete from flight_slots`;
  }
  await callers.stop();
  expect(await historyFaults(sql, callers.posts, callers.reads)).toEqual([]);
  expect(callers.count('not_applied', 'outcome_unknown', 'failed', 'cut')).toBe(0);
  expect(lines.filter(({ code }) => code === 'WS001')).not.toEqual([]);
});
