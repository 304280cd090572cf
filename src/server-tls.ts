/**
 * Whether the way to PostgreSQL is encrypted, and whom it trusts: DB_SSL and DB_SSL_CA_FILE.
 * Invariant: what cannot be had as it was asked for is a fault, never less encryption.
 */
import { resolve } from 'node:path';
import type { Settings } from './settings.ts';

/** How connections are encrypted; without one of these they are not. */
export interface ServerTls {
  /** `require` checks no certificate, `verify-full` its chain and the host's name. */
  mode: 'require' | 'verify-full';
  /** Without one the system's CAs are trusted. */
  caFile?: string;
  /**
   * The content of `caFile`, once it was read. Every client that is made looks here, so another one
   * counts from then on.
   */
  ca?: string | undefined;
}

const MODES = ['disable', 'require', 'verify-full'] as const;

/** What may stand behind the name in DATABASE_URL; the first group is the mode. */
export const SSLMODE = new RegExp(`^\\?sslmode=(${MODES.join('|')})$`);

/**
 * @param host undefined when no server is named.
 * @param sslmode what DATABASE_URL says, if it does.
 * @param root what a relative path starts from.
 * @returns undefined for connections in the clear.
 */
export function readTls(
  settings: Settings,
  host: string | undefined,
  sslmode: string | undefined,
  root: string,
): ServerTls | undefined {
  if (sslmode !== undefined && settings.optional('DB_SSL') !== undefined) {
    settings.fault('DB_SSL', 'cannot stand together with sslmode in DATABASE_URL; set one of them');
    return undefined;
  }
  const mode = sslmode ?? settings.oneOf('DB_SSL', MODES, 'disable');
  const file = settings.optional('DB_SSL_CA_FILE');
  if (file !== undefined && mode !== 'verify-full') {
    settings.fault('DB_SSL_CA_FILE', 'is used with verify-full only; set DB_SSL=verify-full');
  }
  if (mode !== 'require' && mode !== 'verify-full') return undefined;
  if (host === undefined || host.startsWith('/')) {
    settings.fault('DB_SSL', 'needs a server on the network: set DB_HOST or DATABASE_URL');
  }
  return file === undefined || mode === 'require'
    ? { mode }
    : { mode, caFile: resolve(root, file) };
}
