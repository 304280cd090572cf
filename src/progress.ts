/**
 * Tells in the log how far a long command has come.
 * Invariant: however often it is called, it writes a line every few seconds.
 */
import type { Logger } from './log.ts';

const INTERVAL_MS = 2000;

/** @returns a function to be called with each figure; it logs one of them from time to time. */
export function everyFewSeconds(logger: Logger, message: string): (figures: object) => void {
  let last = Date.now();
  return (figures) => {
    if (Date.now() - last < INTERVAL_MS) return;
    last = Date.now();
    logger.info(figures, message);
  };
}
