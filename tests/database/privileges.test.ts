/**
 * What the workers' role can do to the database by itself, past the service: read, and call the
 * functions. Everything else is refused, and has changed nothing.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { connect, type Sql } from '../../src/database/connection.ts';
import { errorCode } from '../../src/database/failure.ts';
import type { ServerAddress } from '../../src/server-address.ts';
import { emptyDatabase, freshWalletId } from '../helpers/database.ts';
import { endServices, startService, type TestService } from '../helpers/service.ts';

setDefaultTimeout(30_000);

const PERMISSION_DENIED = '42501';

const role = `service_${crypto.randomUUID().replaceAll('-', '')}`;
const walletId = freshWalletId();
const key = 'privileged';

let service: TestService;
let owner: Sql;
let worker: Sql;
let database: ServerAddress;

beforeAll(async () => {
  database = await emptyDatabase();
  service = await startService({
    database: { ...database, user: role, password: "it's \\ secret" },
    variables: { DB_OWNER_USER: database.user, DB_OWNER_PASSWORD: 'the owner' },
  });
  await service.listening();
  owner = connect(database, { max: 1, name: 'wallet-test-owner' });
  worker = connect({ ...database, user: role }, { max: 1, name: 'wallet-test-worker' });
  const body = `{"walletID":${walletId},"operationType":"DEPOSIT","amount":5}`;
  const headers = { 'content-type': 'application/json', 'idempotency-key': key };
  const path = '/api/v1/wallets';
  expect((await service.request(path, { method: 'POST', body, headers })).status).toBe(200);
});
afterAll(async () => {
  await Promise.all([owner, worker].map((sql) => sql.end({ timeout: 0 })));
  await endServices();
});

/** All that there is, as text. */
async function everything(): Promise<unknown> {
  const [row] = await owner`
    select (select json_agg(w order by id) from wallets as w) as wallets,
      (select json_agg(o order by wallet_id, version) from operations as o) as operations,
      (select json_agg(k order by wallet_id, key) from idempotency_keys as k) as keys,
      (select json_agg(s order by slot) from flight_slots as s) as slots,
      (select json_agg(f order by name) from schema_files as f) as files,
      (select json_agg((proname, md5(prosrc), proacl) order by oid) from pg_proc
        where pronamespace = 'public'::regnamespace) as functions`;
  return row;
}

const refused = async (statement: string) =>
  worker.unsafe(statement).then(
    () => 'done',
    (error: unknown) => errorCode(error),
  );

/** What only the owner may do. */
const attempts = [
  'update wallets set amount = amount + 1',
  'update wallets set version = version + 1',
  `insert into wallets values (${freshWalletId()}, 1, 1, now())`,
  'delete from wallets',
  'truncate wallets',
  'select * from wallets for update',
  'update operations set amount = 1',
  `insert into operations values (${walletId}, 2, 'DEPOSIT', 1, 6, now())`,
  'delete from operations',
  'truncate operations, wallets',
  `insert into idempotency_keys values (${walletId}, 'k', 'DEPOSIT', 1, 1, 1, null, now())`,
  'update idempotency_keys set amount = 6',
  'delete from idempotency_keys',
  'update flight_slots set sequence = 0',
  `insert into flight_slots (slot, sequence) values (gen_random_uuid(), 9)`,
  'update schema_files set hash = null',
  'delete from schema_files',
  'alter table wallets drop constraint wallets_amount_check',
  'drop table operations',
  'create table intruder ()',
  `create trigger intruder before update on wallets
     execute function suppress_redundant_updates_trigger()`,
  'create or replace function version_at(bigint, timestamptz) returns bigint return 1',
  'drop function version_at',
  `call let_serve('${role}')`,
  `alter table wallets owner to ${role}`,
  'set role wallet',
  'set session_replication_role = replica',
  "copy wallets from program 'true'",
  "select pg_read_file('postgresql.conf')",
];

/** Arrays that no worker sends, but that the function would take. */
const shapes: [string, string, string, string | null][] = [
  ['that begin elsewhere', '[0:1]={7,7}', '{1000000,1}', null],
  ['that begin at different places', '{7,7}', '[0:1]={1000000,1}', null],
  ['of two dimensions', '{{7,7}}', '{{1000000,1}}', null],
  ['of different lengths', '{7,7}', '{1000000}', null],
  ['with a gap among the wallets', '{7,NULL}', '{1000000,1}', null],
  ['with a gap among the amounts', '{7,7}', '{1000000,NULL}', null],
  ['with fewer keys', '{7,7}', '{1000000,1}', '{k}'],
  ['with keys that begin elsewhere', '{7,7}', '{1000000,1}', '[0:1]={k,l}'],
];

describe('the role of the workers', () => {
  test.each(attempts)('is refused: %s', async (statement) => {
    const before = await everything();
    expect(await refused(statement)).toBe(PERMISSION_DENIED);
    expect(await everything()).toEqual(before);
  });

  test('is no superuser, owns nothing and belongs to no other role', async () => {
    const [found] = await owner`
      select rolsuper or rolcreaterole or rolcreatedb or rolbypassrls or rolreplication as mighty,
        (select count(*)::int from pg_auth_members where member = r.oid) as roles,
        (select count(*)::int from pg_class where relowner = r.oid) as relations,
        (select count(*)::int from pg_proc where proowner = r.oid) as functions
      from pg_roles as r where rolname = ${role}`;
    expect(found).toEqual({ mighty: false, roles: 0, relations: 0, functions: 0 });
  });

  test('moves money by the function alone, past temporary tables of the same names', async () => {
    const slot = crypto.randomUUID();
    // Of its own, because the tables stay for as long as the connection does.
    const intruder = connect({ ...database, user: role }, { max: 1, name: 'wallet-test-intruder' });
    await intruder`insert into flight_slots (slot) values (${slot})`;
    await intruder.unsafe('create temp table wallets (like public.wallets including all)');
    await intruder.unsafe('create temp table operations (like public.operations including all)');
    const [row] = await intruder<{ balances: string }[]>`
      select balances from apply_operations(${walletId}, ${slot}, 1, ${`{${walletId}}`}, '{2}')`;
    expect(row?.balances).toBe('{7}');
    expect(await intruder`select from pg_temp.wallets`).toHaveLength(0);
    await intruder.end({ timeout: 0 });
    expect(await owner`select amount from wallets where id = ${walletId}`).toEqual([
      { amount: 7n },
    ] as never);
  });

  test.each(shapes)('cannot move money by arrays %s', async (_, ids, amounts, keys) => {
    const slot = crypto.randomUUID();
    await worker`insert into flight_slots (slot) values (${slot})`;
    const before = await everything();
    const flight = worker`
      select from apply_operations(7, ${slot}, 1, ${ids}::text::bigint[],
        ${amounts}::text::bigint[], ${keys}::text::text[])`;
    expect(await flight.catch(errorCode)).toBe('P0001');
    expect(await everything()).toEqual(before);
  });

  test('cannot make the service forget a young key', async () => {
    const [row] = await worker<{ forgotten: number }[]>`select prune_keys(0, 1000) as forgotten`;
    expect(row?.forgotten).toBe(0);
    expect(await owner`select from idempotency_keys where key = ${key}`).toHaveLength(1);
  });

  test('is who every worker is, and none knows the owner', async () => {
    const users = await owner<{ usename: string }[]>`
      select distinct usename from pg_stat_activity
      where datname = current_database() and application_name ~ '^wallet-(flight|balance|probe)'`;
    expect(users.map(({ usename }) => usename)).toEqual([role]);
    expect(service.workers()).toHaveLength(2);
    for (const pid of service.workers()) {
      expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).not.toContain('the owner');
    }
  });
});

describe('every function', () => {
  test('has a fixed search_path that ends in pg_temp, and the public may not call it', async () => {
    const functions = await owner<{ proname: string; path: string; open: boolean }[]>`
      select proname, array_to_string(proconfig, ' ') as path,
        has_function_privilege('public', oid, 'execute') as open
      from pg_proc where pronamespace = 'public'::regnamespace order by proname`;
    expect(functions.map(({ proname }) => proname)).toEqual([
      'apply_operations',
      'let_serve',
      'prune_keys',
      'version_at',
    ]);
    for (const { path, open } of functions) {
      expect(path).toBe('search_path=public, pg_temp');
      expect(open).toBe(false);
    }
  });

  test('that changes anything runs with the rights of its owner', async () => {
    const functions = await owner<{ proname: string }[]>`
      select proname from pg_proc
      where pronamespace = 'public'::regnamespace and prosecdef order by proname`;
    expect(functions.map(({ proname }) => proname)).toEqual(['apply_operations', 'prune_keys']);
  });
});

describe('an owner', () => {
  test('who may not create the role says so', async () => {
    const weak = `owner_${crypto.randomUUID().replaceAll('-', '')}`;
    const target = await emptyDatabase();
    await owner.unsafe(`create role ${weak} login`);
    await owner.unsafe(`alter database ${target.name} owner to ${weak}`);
    const missing = `missing_${crypto.randomUUID().replaceAll('-', '')}`;
    const start = (user: string) =>
      startService({ database: { ...target, user }, variables: { DB_OWNER_USER: weak } });
    const refusedStart = await start(missing);
    expect(await refusedStart.exit()).toBe(1);
    expect(refusedStart.stderr).toContain(`DB_USER "${missing}" does not exist`);
    await owner.unsafe(`create role ${missing} login`);
    const started = await (await start(missing)).listening();
    expect((await started.deposit(freshWalletId(), 1n)).status).toBe(200);
  });

  const uuid = () => crypto.randomUUID().replaceAll('-', '');

  /** What a start says with a role of the workers that was made beforehand. */
  async function startWith(user: string, prepare: (database: Sql) => Promise<unknown>) {
    const target = await emptyDatabase();
    const sql = connect(target, { max: 1, name: 'wallet-test-owner' });
    await prepare(sql);
    await sql.end({ timeout: 1 });
    const variables = { DB_OWNER_USER: target.user };
    const refusedStart = await startService({ database: { ...target, user }, variables });
    expect(await refusedStart.exit()).toBe(1);
    return refusedStart.stderr;
  }

  const mighty = [
    ['is a superuser', (user: string) => `create role ${user} login superuser`],
    ['is a member of DB_OWNER_USER', (user: string) => `create role ${user} login in role wallet`],
    [
      'may create in the schema',
      (user: string) => `create role ${user} login; grant create on schema public to public`,
    ],
    [
      'may write to the tables',
      (user: string) =>
        `create role ${user} login;
         alter default privileges in schema public grant update on tables to ${user}`,
    ],
  ] as const;
  test.each(mighty)('refuses a role of the workers that %s', async (right, statements) => {
    const user = `mighty_${uuid()}`;
    const stderr = await startWith(user, (sql) => sql.unsafe(statements(user)));
    expect(stderr).toContain(`DB_USER "${user}" `);
    expect(stderr).toContain(right);
  });

  test('says that the role of the workers looks for the tables elsewhere', async () => {
    const user = `lost_${uuid()}`;
    const stderr = await startWith(user, async (sql) => {
      await sql.unsafe(`create role ${user} login`);
      await sql.unsafe(`alter role ${user} set search_path to nowhere`);
    });
    expect(stderr).toContain(`DB_USER "${user}" does not find what DB_OWNER_USER made`);
  });

  test('says that the role of the workers cannot log in', async () => {
    const user = `closed_${uuid()}`;
    const stderr = await startWith(user, (sql) => sql.unsafe(`create role ${user} nologin`));
    expect(stderr).toContain(`role "${user}" is not permitted to log in`);
  });

  test('is not needed where one user does everything', async () => {
    const alone = await (await startService({ database: await emptyDatabase() })).listening();
    expect((await alone.deposit(freshWalletId(), 1n)).status).toBe(200);
  });
});

test('the embedded database is served by a role of its own', async () => {
  const embedded = await (await startService()).listening();
  const { findEmbedded } = await import('../../src/database/embedded.ts');
  const address = (await findEmbedded(embedded.dataDirectory)) as ServerAddress;
  const sql = connect(address, { max: 1, name: 'wallet-test-embedded' });
  const users = await sql<{ usename: string }[]>`
    select distinct usename from pg_stat_activity where application_name like 'wallet-%'
      and application_name <> 'wallet-test-embedded'`;
  await sql.end({ timeout: 0 });
  expect(users.map(({ usename }) => usename)).toEqual(['wallet_service']);
});
