/**
 * Who the service is to its database: the owner while the schema is prepared, and otherwise a role
 * that may call its functions and read. Invariant: no worker ever has the owner's credentials,
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
  try {
    await waitUntilAnswers(sql, { timeoutMs: config.startTimeoutMs, signal: stop, logger });
    await checkServer(sql, workerConnections(config));
    const applied = await migrate(sql, sqlFolder);
    if (applied.length > 0) logger.info({ applied }, 'migrated the database');
    await removeStaleSlots(sql);
    if (service.user !== owner.user) await letServe(sql, service);
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
}

async function createRole(sql: Sql, user: string, password: string): Promise<void> {
  const [statement] = await sql<{ text: string }[]>`
    select format('create role %I login password %L', ${user}::text, ${password || null}::text)
      as text`;
  await sql.unsafe(statement?.text ?? '');
}
