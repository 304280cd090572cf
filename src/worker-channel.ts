/**
 * What a worker and its supervisor tell each other over the channel between them.
 * Invariant: a worker that says it started is told what it needs, and again whenever that changes;
 * apart from this each side lives without an answer of the other. The channel's end tells the
 * worker that its supervisor is gone.
 */
import type { Report } from './metrics/collector.ts';
import type { FileContents } from './reloaded-files.ts';
import { StartError } from './start-error.ts';

/** `started`: it can hear. `listening`: it answers requests from now on. */
export type WorkerMessage =
  | { kind: 'started' }
  | { kind: 'listening' }
  | { kind: 'report'; report: Report };

/** A worker reads no file itself: it could meet one that is half written. */
export type SupervisorMessage = { kind: 'files'; contents: FileContents };

/**
 * Calls `hear` with everything that the supervisor tells; resolves after the first time.
 * @throws StartError when there is no supervisor.
 */
export async function hearSupervisor(hear: (message: SupervisorMessage) => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const alone = () => reject(new StartError('a worker needs its supervisor: bun run start'));
  process.on('disconnect', alone).on('message', (message: SupervisorMessage) => {
    hear(message);
    resolve();
  });
  if (!process.connected) alone();
  await tellSupervisor({ kind: 'started' });
  await promise;
}

/** Tells the supervisor, if there is one; resolves when it is written. */
export function tellSupervisor(message: WorkerMessage): Promise<void> {
  return new Promise((resolve) => {
    if (!process.send || !process.connected) return resolve();
    process.send(message, undefined, undefined, () => resolve());
  });
}
