/**
 * The settings: their names, defaults and bounds. The only reader of the environment.
 * Invariant: a Config that exists is valid; otherwise every fault is reported at once, by name.
 * Each default's reason stands in config.env.example.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { readServer, type ServerAddress } from './server-address.ts';
import { type Environment, type HostAndPort, Settings } from './settings.ts';

import { StartError } from './start-error.ts';

export interface Config {
  address: HostAndPort;
  /** undefined: no server was named, so the service runs its own under `dataDirectory`. */
  server: ServerAddress | undefined;
  dataDirectory: string;
  workers: number;
  /** Flights that one worker may have in the air at once, each on a connection of its own. */
  flightSlots: number;
  batchMax: number;
  startTimeoutMs: number;
  requestTimeoutMs: number;
  attemptTimeoutMs: number;
  queueMax: number;
  /** Whether an operation without an Idempotency-Key is refused. */
  isKeyRequired: boolean;
  /** How long a key's answer is kept. */
  keyTtlHours: number;
  drainMs: number;
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

/** Beyond ten minutes a time limit is surely a mistake in the unit. */
const TIME_MAX_MS = 600_000;

/** More than eight by default would pass PostgreSQL's default of 100 connections. */
const WORKERS_DEFAULT_MAX = 8;

/** Bun drops a connection that is silent for 255 s, and ours must answer before. */
const REQUEST_TIMEOUT_MAX_MS = 200_000;

const BOOLEANS = ['true', 'false'] as const;

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
  const path = file === undefined ? resolve(projectRoot, 'config.env') : resolve(file);
  const set = Object.entries(processEnvironment).filter(([, value]) => value !== '');
  return { ...readVariables(path, file === undefined), ...Object.fromEntries(set) };
}

function readVariables(path: string, mayBeMissing: boolean): Environment {
  try {
    return parseEnv(readFileSync(path, 'utf8'));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (mayBeMissing && code === 'ENOENT') return {};
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
  const cores = Math.min(availableParallelism(), WORKERS_DEFAULT_MAX);
  const time = (fallback: number, min = 100) => ({ fallback, min, max: TIME_MAX_MS });
  const config: Config = {
    address: settings.address('APP_ADDRESS', '127.0.0.1:8192'),
    server: readServer(settings, projectRoot),
    dataDirectory: resolve(projectRoot, settings.text('DATA_DIR', '.data')),
    workers: settings.integer('WORKERS', { fallback: cores, min: 1, max: 64 }),
    flightSlots: settings.integer('FLIGHT_SLOTS', { fallback: 1, min: 1, max: 16 }),
    batchMax: settings.integer('BATCH_MAX', { fallback: 500, min: 1, max: 10_000 }),
    startTimeoutMs: settings.integer('DB_START_TIMEOUT_MS', time(60_000)),
    requestTimeoutMs: settings.integer('REQUEST_TIMEOUT_MS', {
      fallback: 10_000,
      min: 100,
      max: REQUEST_TIMEOUT_MAX_MS,
    }),
    attemptTimeoutMs: settings.integer('ATTEMPT_TIMEOUT_MS', time(3000)),
    queueMax: settings.integer('QUEUE_MAX', { fallback: 10_000, min: 1, max: 1_000_000 }),
    isKeyRequired: settings.oneOf('IDEMPOTENCY_KEY_REQUIRED', BOOLEANS, 'false') === 'true',
    keyTtlHours: settings.integer('IDEMPOTENCY_KEY_TTL_HOURS', {
      fallback: 24,
      min: 24,
      max: 8760,
    }),
    drainMs: settings.integer('DRAIN_MS', time(10_000, 0)),
    logLevel: settings.oneOf('LOG_LEVEL', LOG_LEVELS, 'info'),
  };
  if (settings.faults.length > 0) throw new ConfigError(settings.faults);
  return config;
}

/** Connections that all workers together may open: flights, balances, journal, probe of each. */
export function workerConnections({ workers, flightSlots }: Config): number {
  return workers * (flightSlots + 3);
}
