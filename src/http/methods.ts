/**
 * Gives every known path its OPTIONS and its 405.
 * Invariant: `Allow` names exactly the methods that the path answers.
 */
import type { AnyElysia } from 'elysia';
import { refuse } from './envelope.ts';
import { ROUTES } from './routes.ts';

const hidden = { detail: { hide: true } };

/** To be called last: what the app answers by then goes first. */
export function answerOtherMethods<App extends AnyElysia>(app: App): App {
  for (const [path, method] of Object.entries(ROUTES)) {
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
