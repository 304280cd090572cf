/**
 * The settings: their names, defaults and bounds. The only reader of the environment.
 * Invariant: a Config that exists is valid; otherwise every fault is reported at once, by name.
 * Each default's reason stands in config.env.example.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { type Limits, readLimits } from './limits.ts';
import { readServer, type ServerAddress } from './server-address.ts';
import { unknownOf } from './setting-names.ts';
import { type Environment, type HostAndPort, Settings } from './settings.ts';
import { StartError } from './start-error.ts';

export interface Config extends Limits {
  address: HostAndPort;
  /** Where metrics are shown; if the default is taken, nowhere. */
  metricsAddress: HostAndPort;
  /** Who may use the API; undefined: everybody. */
  tokensFile: string | undefined;
  /** undefined: no server was named, so the service runs its own under `dataDirectory`. */
  server: ServerAddress | undefined;
  /** Who owns the schema on that server; undefined: the user of `server` itself. */
  owner: { user: string; password: string } | undefined;
  dataDirectory: string;
  logLevel: 'debug' | 'info' | 'warn' | 'error';
}

/** Every fault of the configuration, one line each. */
export class ConfigError extends StartError {
  constructor(faults: string[]) {
    super(faults.join('\n'));
  }
}

// The one PG* variable that no option of postgres.js overrules; it would refuse the right server.
delete process.env.PGTARGETSESSIONATTRS;

export const projectRoot = resolve(import.meta.dir, '..');

/** The migrations and the functions. */
export const sqlFolder = resolve(projectRoot, 'sql');

export const METRICS_ADDRESS_DEFAULT = '127.0.0.1:9192';

const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;

/**
 * The variables of the configuration file, overlaid by the process environment, in which an
 * empty value counts as not set.
 * @param file the path given with --config; without it `config.env` in the project's root is
 *   read if it is there.
 * @throws ConfigError when the file cannot be read.
 */
export function loadEnvironment(
  file: string | undefined,
  processEnvironment: Environment = process.env,
): Environment {
  const set = Object.entries(processEnvironment).filter(([, value]) => value !== '');
  return { ...readVariables(file), ...Object.fromEntries(set) };
}

/** Names in the configuration file that are no settings: one that is misspelt has no effect. */
export const unknownNames = (file: string | undefined) =>
  unknownOf(Object.keys(readVariables(file)));

function readVariables(file: string | undefined): Environment {
  const path = file === undefined ? resolve(projectRoot, 'config.env') : resolve(file);
  try {
    return parseEnv(readFileSync(path, 'utf8'));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (file === undefined && code === 'ENOENT') return {};
    throw new ConfigError([`cannot read the configuration file ${path}: ${message}`]);
  }
}

/**
 * The configuration that an environment describes; without one, this process's own, which a
 * worker's supervisor has completed.
 * @throws ConfigError with one line for each wrong variable.
 */
export function readConfig(environment: Environment = process.env): Config {
  const settings = new Settings(environment);
  const tokensFile = settings.optional('API_TOKENS_FILE');
  const config: Config = {
    address: settings.address('APP_ADDRESS', '127.0.0.1:8192'),
    metricsAddress: settings.address('METRICS_ADDRESS', METRICS_ADDRESS_DEFAULT),
    tokensFile: tokensFile && resolve(projectRoot, tokensFile),
    server: readServer(settings, projectRoot),
    owner: readOwner(settings),
    dataDirectory: resolve(projectRoot, settings.text('DATA_DIR', '.data')),
    ...readLimits(settings),
    logLevel: settings.oneOf('LOG_LEVEL', LOG_LEVELS, 'info'),
  };
  const { server, owner } = config;
  if (owner && !server) settings.fault('DB_OWNER_USER', 'needs DB_HOST or DATABASE_URL');
  if (owner && server && owner.user === server.user) {
    settings.fault('DB_OWNER_USER', 'must be another user than the one of the service');
  }
  // Of equal ports, one may be that of every interface, and a host has many names.
  if (config.address.port === config.metricsAddress.port) {
    settings.fault('METRICS_ADDRESS', 'must have another port than APP_ADDRESS');
  }
  if (settings.faults.length > 0) throw new ConfigError(settings.faults);
  return config;
}

function readOwner(settings: Settings): Config['owner'] {
  const user = settings.optional('DB_OWNER_USER');
  const password = settings.text('DB_OWNER_PASSWORD', '');
  return user === undefined ? undefined : { user, password };
}

/**
 * Connections that all workers together may open: flights, balances, journal, probe of each. While
 * they are replaced there is one more of them.
 */
export function workerConnections({ workers, flightSlots }: Config): number {
  return (workers + 1) * (flightSlots + 3);
}
