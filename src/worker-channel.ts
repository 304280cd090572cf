/**
 * What a worker tells its supervisor over the channel between them.
 * Invariant: each side lives without an answer of the other; the channel's end tells the worker
 * that its supervisor is gone.
 */
import type { Report } from './metrics/collector.ts';

/** `listening`: it answers requests from now on. */
export type WorkerMessage = { kind: 'listening' } | { kind: 'report'; report: Report };

/** Tells the supervisor, if there is one; resolves when it is written. */
export function tellSupervisor(message: WorkerMessage): Promise<void> {
  return new Promise((resolve) => {
    if (!process.send || !process.connected) return resolve();
    process.send(message, undefined, undefined, () => resolve());
  });
}
