/**
 * Gives every known path its OPTIONS and its 405.
 * Invariant: `Allow` names exactly the methods that the path answers.
 */
import type { AnyElysia } from 'elysia';
import { refuse } from './envelope.ts';

/** The methods that each path answers; HEAD comes with GET, OPTIONS with all. */
const METHODS: Record<string, 'GET' | 'POST'> = {
  '/': 'GET',
  '/livez': 'GET',
  '/readyz': 'GET',
  '/swagger': 'GET',
  '/swagger/json': 'GET',
  '/swagger/:asset': 'GET',
  '/api/v1/wallets': 'POST',
  '/api/v1/wallets/:id': 'GET',
  '/api/v1/wallets/:id/operations': 'GET',
};

const hidden = { detail: { hide: true } };

/** To be called last: what the app answers by then goes first. */
export function answerOtherMethods<App extends AnyElysia>(app: App): App {
  for (const [path, method] of Object.entries(METHODS)) {
    const allow = method === 'GET' ? 'GET, HEAD, OPTIONS' : 'POST, OPTIONS';
    app.options(path, () => new Response(null, { status: 204, headers: { allow } }), hidden);
    app.all(
      path,
      ({ request }) => refuse(request, { kind: 'method_not_allowed' }, { allow }),
      hidden,
    );
  }
  return app;
}
