/**
 * The probes of an orchestrator. Invariant: /livez never touches the database, so a database that
 * is away does not get the service restarted; /readyz answers within a second, whatever happens.
 */
import { Elysia } from 'elysia';
import { refuse, succeed } from './envelope.ts';

/** Longer than this, the database counts as away. */
const DATABASE_ANSWER_MS = 1000;

export interface Readiness {
  /** Resolves when the database answered. */
  probe: () => Promise<unknown>;
  isDraining: () => boolean;
}

/** GET /livez: 200. GET /readyz: 200, or 503 while draining or without the database. */
export function probeRoutes(readiness: Readiness) {
  return new Elysia({ detail: { hide: true } })
    .get('/livez', () => succeed('null'))
    .get('/readyz', async () => {
      if (readiness.isDraining()) return refuse({ kind: 'not_ready', reason: 'draining' });
      if (await answersInTime(readiness.probe)) return succeed('null');
      return refuse({ kind: 'not_ready', reason: 'the database does not answer' });
    });
}

function answersInTime(probe: () => Promise<unknown>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), DATABASE_ANSWER_MS);
  const answered = probe().then(
    () => true,
    () => false,
  );
  return Promise.race([answered, late]).finally(() => clearTimeout(timer));
}
