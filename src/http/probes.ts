/**
 * The probes of an orchestrator. Invariant: /livez never touches the database, so a database that
 * is away does not get the service restarted; /readyz answers within a second, whatever happens.
 */
import { Elysia } from 'elysia';
import { refuse, succeed } from './envelope.ts';

/** Longer than this, the database counts as away. */
const DATABASE_ANSWER_MS = 1000;

export interface Readiness {
  /** Whether the database answers; may take longer than a probe may wait. */
  answers: () => Promise<boolean>;
  isDraining: () => boolean;
}

/** GET /livez: 200. GET /readyz: 200, or 503 while draining or without the database. */
export function probeRoutes(readiness: Readiness) {
  return new Elysia({ detail: { hide: true } })
    .get('/livez', () => succeed('null'))
    .get('/readyz', async ({ request }) => {
      if (readiness.isDraining()) return refuse(request, { kind: 'not_ready', reason: 'draining' });
      if (await inTime(readiness.answers())) return succeed('null');
      return refuse(request, { kind: 'not_ready', reason: 'the database does not answer' });
    });
}

function inTime(answers: Promise<boolean>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), DATABASE_ANSWER_MS);
  return Promise.race([answers, late]).finally(() => clearTimeout(timer));
}
