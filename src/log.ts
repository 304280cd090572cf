/**
 * The service's log: one JSON line per event on stdout, readable text on a terminal.
 * Invariant: nothing secret is given to it; callers name fields one by one and never log a
 * whole configuration or environment.
 */
import pino, { type Logger } from 'pino';
import pretty from 'pino-pretty';

export type { Logger } from 'pino';

/** @param role which process speaks: `supervisor`, `worker`, `dev`. */
export function createLogger(role: string, level: string): Logger {
  const options = {
    level,
    base: { role, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
  };
  if (!process.stdout.isTTY) return pino(options, pino.destination({ dest: 1, sync: true }));
  return pino(options, pretty({ sync: true, translateTime: 'HH:MM:ss.l', ignore: 'hostname' }));
}
