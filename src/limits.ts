/**
 * How much and how long: the settings that bound the service.
 * Invariant: a request is answered before anything closes its connection. Each default's reason
 * stands in config.env.example.
 */
import { availableParallelism } from 'node:os';
import { BODY_HARD_STOP_BYTES } from './http/request-body.ts';
import type { Settings } from './settings.ts';

export interface Limits {
  workers: number;
  /** Flights that one worker may have in the air at once, each on a connection of its own. */
  flightSlots: number;
  batchMax: number;
  startTimeoutMs: number;
  requestTimeoutMs: number;
  /** How long a connection may be silent before it is closed. */
  idleTimeoutMs: number;
  bodyMaxBytes: number;
  attemptTimeoutMs: number;
  queueMax: number;
  /** Whether an operation without an Idempotency-Key is refused. */
  isKeyRequired: boolean;
  /** How long a key's answer is kept. */
  keyTtlHours: number;
  drainMs: number;
}

/** Beyond ten minutes a time limit is surely a mistake in the unit. */
const TIME_MAX_MS = 600_000;

/** More than eight by default would pass PostgreSQL's default of 100 connections. */
const WORKERS_DEFAULT_MAX = 8;

/** Leaves room for IDLE_TIMEOUT_MS below what Bun can count to. */
const REQUEST_TIMEOUT_MAX_MS = 200_000;

/** What Bun can count to. */
const IDLE_TIMEOUT_MAX_MS = 255_000;

/** Bun may close a silent connection up to 4 s early, and then a request must be answered. */
const IDLE_MARGIN_MS = 5000;

const BOOLEANS = ['true', 'false'] as const;

/** Reads all limits; what is wrong is among the faults of `settings`. */
export function readLimits(settings: Settings): Limits {
  const cores = Math.min(availableParallelism(), WORKERS_DEFAULT_MAX);
  const time = (fallback: number, min = 100) => ({ fallback, min, max: TIME_MAX_MS });
  const requestTimeoutMs = settings.integer('REQUEST_TIMEOUT_MS', {
    fallback: 10_000,
    min: 100,
    max: REQUEST_TIMEOUT_MAX_MS,
  });
  return {
    workers: settings.integer('WORKERS', { fallback: cores, min: 1, max: 64 }),
    flightSlots: settings.integer('FLIGHT_SLOTS', { fallback: 1, min: 1, max: 16 }),
    batchMax: settings.integer('BATCH_MAX', { fallback: 500, min: 1, max: 10_000 }),
    startTimeoutMs: settings.integer('DB_START_TIMEOUT_MS', time(60_000)),
    requestTimeoutMs,
    idleTimeoutMs: settings.integer('IDLE_TIMEOUT_MS', {
      fallback: requestTimeoutMs + 20_000,
      min: requestTimeoutMs + IDLE_MARGIN_MS,
      max: IDLE_TIMEOUT_MAX_MS,
    }),
    bodyMaxBytes: settings.integer('BODY_MAX_BYTES', {
      fallback: 16_384,
      min: 1024,
      max: BODY_HARD_STOP_BYTES,
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
  };
}
