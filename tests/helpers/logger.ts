/** Loggers for tests. */
import pino, { type Logger } from 'pino';

export const silentLogger: Logger = pino({ level: 'silent' });

/** A logger whose lines are kept, parsed. */
export function recordingLogger(): { logger: Logger; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const logger = pino(
    { level: 'debug' },
    { write: (line: string) => void lines.push(JSON.parse(line)) },
  );
  return { logger, lines };
}
