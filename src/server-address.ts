/**
 * Which PostgreSQL is meant by DB_HOST and its companions, or by DATABASE_URL.
 * Invariant: a fault repeats no part of a URL, which may hold a password.
 */
import { readTls, type ServerTls, SSLMODE } from './server-tls.ts';
import { type HostAndPort, PORT_MAX, type Settings } from './settings.ts';

/** Where a PostgreSQL answers. `host` is a name, an address, or the folder of a unix socket. */
export interface ServerAddress extends HostAndPort {
  user: string;
  password: string;
  name: string;
  /** undefined: connections are in the clear. Copies of an address share it. */
  tls?: ServerTls;
}

/**
 * The server that DATABASE_URL or DB_HOST names; neither: undefined, and both is a fault.
 * @param root what the path of a file is relative to.
 */
export function readServer(settings: Settings, root: string): ServerAddress | undefined {
  const url = settings.optional('DATABASE_URL');
  const host = settings.optional('DB_HOST');
  if (url !== undefined && host !== undefined) {
    settings.fault('DATABASE_URL', 'cannot stand together with DB_HOST; set one of them');
    return undefined;
  }
  const port = settings.integer('DB_PORT', { fallback: 5432, min: 1, max: PORT_MAX });
  if (url !== undefined) return readUrl(settings, url, root);
  const tls = readTls(settings, host, undefined, root);
  if (host === undefined) return undefined;
  return {
    host,
    port,
    user: settings.text('DB_USER', 'postgres'),
    password: settings.text('DB_PASSWORD', ''),
    name: settings.text('DB_NAME', 'wallet'),
    ...(tls && { tls }),
  };
}

/** Whether every % in a text begins an escape. */
const isDecodable = (text: string) => !/%(?![0-9a-f]{2})/i.test(text);

function readUrl(settings: Settings, text: string, root: string): ServerAddress | undefined {
  const shape = 'postgres://user:password@host:port/name';
  const url = URL.canParse(text) && isDecodable(text) ? new URL(text) : undefined;
  const name = url?.pathname.slice(1);
  const isPostgres = url?.protocol === 'postgres:' || url?.protocol === 'postgresql:';
  if (!url || !isPostgres || !url.hostname || !name || url.port === '0') {
    settings.fault('DATABASE_URL', `must have the form ${shape}`);
    return undefined;
  }
  const sslmode = SSLMODE.exec(url.search)?.[1];
  if (url.search !== '' && sslmode === undefined) {
    const only = '?sslmode=disable, require or verify-full';
    settings.fault('DATABASE_URL', `must have no parameters but ${only}; use ${shape}`);
  }
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const tls = readTls(settings, host, sslmode, root);
  return {
    host,
    port: Number(url.port || 5432),
    user: decodeURIComponent(url.username) || 'postgres',
    password: decodeURIComponent(url.password),
    name: decodeURIComponent(name),
    ...(tls && { tls }),
  };
}
