/**
 * The documentation page at /swagger and its OpenAPI document at /swagger/json.
 * Invariant: the page loads nothing from another host; its scripts come out of the
 * swagger-ui-dist package, so it renders without internet.
 */
import { dirname, join } from 'node:path';
import { swagger } from '@elysiajs/swagger';
import { Elysia } from 'elysia';
import { version } from '../../package.json' with { type: 'json' };
import { refuse } from './envelope.ts';
import { pageHeaders } from './page-headers.ts';

const DAY_SECONDS = 86_400;

const packageFolder = dirname(Bun.resolveSync('swagger-ui-dist/package.json', import.meta.dir));

const assets: Record<string, string> = {
  'swagger-ui.css': join(packageFolder, 'swagger-ui.css'),
  'swagger-ui-bundle.js': join(packageFolder, 'swagger-ui-bundle.js'),
  'favicon-32x32.png': join(packageFolder, 'favicon-32x32.png'),
  'page.js': join(import.meta.dir, 'docs-page.js'),
};

const page = join(import.meta.dir, 'docs-page.html');

const documentation = {
  info: {
    title: 'Wallet service',
    version,
    description:
      'Moves money in and out of wallets. Amounts are integers in the smallest unit of the ' +
      'currency, exact up to 9223372036854775807; mind that many JSON parsers round integers ' +
      'above 9007199254740991.',
    contact: { name: 'the maintainers of the wallet service' },
    license: { name: 'MIT', url: 'https://opensource.org/license/mit' },
  },
  components: {
    securitySchemes: {
      bearer: {
        type: 'http' as const,
        scheme: 'bearer',
        description:
          'A token of the service. Needed where API_TOKENS_FILE is set: one of the scope `read` ' +
          'or `write` to read, one of the scope `write` for operations.',
      },
    },
  },
  tags: [{ name: 'wallets', description: 'Operations and balances' }],
  servers: [{ url: '/', description: 'this service' }],
};

const hidden = { detail: { hide: true } };

/** GET /swagger, its assets, /swagger/json, and the redirect that leads there from /. */
export function docsRoutes() {
  return (
    new Elysia()
      .onAfterHandle(({ set }) => {
        Object.assign(set.headers, pageHeaders);
      })
      .use(swagger({ path: '/swagger', specPath: '/swagger/json', documentation }))
      // After the plugin, whose own page at this path loads its scripts from another host.
      .get('/swagger', () => new Response(Bun.file(page)), hidden)
      .get('/swagger/:asset', ({ request, params }) => serveAsset(request, params.asset), hidden)
      .get(
        '/',
        () => new Response(null, { status: 302, headers: { location: '/swagger' } }),
        hidden,
      )
  );
}

function serveAsset(request: Request, name: string): Response {
  const path = Object.hasOwn(assets, name) ? assets[name] : undefined;
  if (path === undefined) return refuse(request, { kind: 'unknown_path' });
  return new Response(Bun.file(path), {
    headers: { 'cache-control': `public, max-age=${DAY_SECONDS}` },
  });
}
