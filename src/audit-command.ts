/**
 * `bun run audit`: the audit with its progress in the log, on the database of the service, which
 * may be running. Invariant: it reads and never writes.
 */
import { type Config, sqlFolder } from './config.ts';
import { requireMigrated } from './database/migrations.ts';
import { type AuditProgress, audit } from './ledger/audit.ts';
import type { Logger } from './log.ts';
import { useDatabase } from './own-database.ts';
import { everyFewSeconds } from './progress.ts';
import { StartError } from './start-error.ts';

/** Faults that are listed one by one. */
const LISTED_MAX = 1000;

/** @throws StartError when the books do not balance; the log lists how. */
export async function runAudit(config: Config, logger: Logger): Promise<void> {
  const tell = everyFewSeconds(logger, 'auditing');
  const sums = await useDatabase(config, logger, async (sql) => {
    await requireMigrated(sql, sqlFolder);
    return audit(sql, (progress) => tell(countsOf(progress)));
  });
  const { faults } = sums;
  logger.info(countsOf(sums), 'audited');
  for (const { fault, ...where } of faults.slice(0, LISTED_MAX)) logger.error(where, fault);
  if (faults.length > 0) throw new StartError(`the books do not balance: ${faults.length} faults`);
}

const countsOf = ({ operations, wallets, keys, faults }: AuditProgress) => ({
  operations,
  wallets,
  keys,
  faults: faults.length,
});
