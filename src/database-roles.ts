/**
 * Who the service is to its database: the owner while the schema is prepared, and otherwise a role
 * that may call its functions and read. Invariant: no worker is given the owner's credentials,
 * unless there are no others.
 */
import { type Config, sqlFolder, workerConnections } from './config.ts';
import { connect, type Sql } from './database/connection.ts';
import type { EmbeddedDatabase } from './database/embedded.ts';
import { migrate } from './database/migrations.ts';
import { checkServer, waitUntilAnswers } from './database/readiness.ts';
import { removeStaleSlots } from './ledger/flight-slot.ts';
import type { Logger } from './log.ts';
import type { ServerAddress } from './server-address.ts';
import { StartError } from './start-error.ts';

/** The same server, as two users. */
export interface Servers {
  owner: ServerAddress;
  service: ServerAddress;
}

/** What the embedded database calls the role of the workers. */
const SERVICE_ROLE = 'wallet_service';

/** @param embedded the service's own database, where no other is named. */
export function serversOf(config: Config, embedded: EmbeddedDatabase | undefined): Servers {
  if (embedded) {
    return { owner: embedded.address, service: { ...embedded.address, user: SERVICE_ROLE } };
  }
  if (!config.server) throw new Error('Bug: neither a server nor the embedded database');
  return { owner: { ...config.server, ...config.owner }, service: config.server };
}

/** Usually it takes a tenth of a second. */
const LONG_MS = 5000;

export interface Preparation {
  config: Config;
  logger: Logger;
  stop: AbortSignal;
}

/**
 * Waits for the database, checks that it suffices, migrates it and gives the service its rights.
 * @throws StartError when any of that is impossible.
 */
export async function prepareDatabase(servers: Servers, { config, logger, stop }: Preparation) {
  const { owner, service } = servers;
  const sql = connect(owner, { max: 1, name: 'wallet-supervisor' });
  // A migration, a restore or an open transaction elsewhere can hold all that follows up.
  const giveUp = () => void sql.end({ timeout: 0 });
  stop.addEventListener('abort', giveUp);
  const late = setTimeout(() => {
    logger.info('preparing the database takes long: a migration or a restore may be under way');
  }, LONG_MS);
  try {
    await waitUntilAnswers(sql, { timeoutMs: config.startTimeoutMs, signal: stop, logger });
    await checkServer(sql, workerConnections(config));
    const applied = await migrate(sql, sqlFolder);
    if (applied.length > 0) logger.info({ applied }, 'migrated the database');
    await removeStaleSlots(sql);
    if (service.user !== owner.user) {
      await letServe(sql, service);
      await trySeparately(service, { config, logger, stop });
    }
  } finally {
    clearTimeout(late);
    stop.removeEventListener('abort', giveUp);
    await sql.end({ timeout: 1 });
  }
}

/** As the workers will: what is wrong with their way in would be an outage of all of them later. */
async function trySeparately(service: ServerAddress, { config, logger, stop }: Preparation) {
  const sql = connect(service, { max: 1, name: 'wallet-supervisor' });
  try {
    await waitUntilAnswers(sql, { timeoutMs: config.startTimeoutMs, signal: stop, logger });
    await sql`select prune_keys(24, 0), slot from flight_slots limit 0`.catch((error: Error) => {
      throw new StartError(
        `DB_USER "${service.user}" does not find what DB_OWNER_USER made (${error.message}): ` +
          'give both the same search_path, with "alter role … set search_path to …"',
      );
    });
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** Gives the role of the workers its rights, which are listed in sql/let_serve.sql. */
async function letServe(sql: Sql, { user, password }: ServerAddress): Promise<void> {
  const [role] = await sql<{ exists: boolean; mayCreate: boolean }[]>`
    select exists (select from pg_roles where rolname = ${user}),
      (select rolcreaterole or rolsuper from pg_roles where rolname = current_user) as "mayCreate"`;
  if (!role?.exists && !role?.mayCreate) {
    throw new StartError(
      `DB_USER "${user}" does not exist, and DB_OWNER_USER may not create it: have it made with ` +
        '"create role … login password …"',
    );
  }
  if (!role.exists) await createRole(sql, user, password);
  await sql`call let_serve(${user})`;
  await refuseMighty(sql, user);
}

/** Rights that it had before, and with which the ones that it was given are no bound. */
async function refuseMighty(sql: Sql, user: string): Promise<void> {
  const [has] = await sql<Record<string, boolean>[]>`
    select rolsuper as "is a superuser",
      pg_has_role(oid, current_user, 'member') as "is a member of DB_OWNER_USER",
      has_schema_privilege(oid, current_schema(), 'create') as "may create in the schema",
      exists (
        select from unnest('{wallets,operations,idempotency_keys,flight_slots}'::text[]) as t
        where has_table_privilege(r.oid, t, 'insert, update, delete, truncate, trigger')
          and t <> 'flight_slots' or has_any_column_privilege(r.oid, t, 'update')
      ) as "may write to the tables"
    from pg_roles as r where rolname = ${user}`;
  const found = Object.entries(has ?? {}).flatMap(([right, isThere]) => (isThere ? [right] : []));
  if (found.length === 0) return;
  throw new StartError(
    `DB_USER "${user}" ${found.join(' and ')}, so DB_OWNER_USER is no protection from it: take ` +
      'that away ("revoke create on schema … from public" where everybody has it), or name ' +
      'another DB_USER, which is made if it does not exist',
  );
}

async function createRole(sql: Sql, user: string, password: string): Promise<void> {
  const [statement] = await sql<{ text: string }[]>`
    select format('create role %I login password %L', ${user}::text, ${password || null}::text)
      as text`;
  await sql.unsafe(statement?.text ?? '');
}
