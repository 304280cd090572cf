/** What answers say beside their content: pages protect themselves, and nothing names its maker. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { startApp, type TestApp, WALLETS } from '../helpers/app.ts';
import { freshWalletId } from '../helpers/database.ts';

const PAGE = ['page.js', 'swagger-ui-bundle.js', 'swagger-ui.css', 'favicon-32x32.png', 'json'];
const PAGE_PATHS = ['/', '/swagger', ...PAGE.map((name) => `/swagger/${name}`)];

const POLICY = 'content-security-policy';

const PROTECTION: Record<string, string> = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.stop());

describe('the documentation', () => {
  test.each(PAGE_PATHS)('protects itself in a browser, at %s', async (path) => {
    for (const method of ['GET', 'HEAD']) {
      const { headers } = await app.request(path, { method });
      expect(Object.fromEntries(headers)).toMatchObject(PROTECTION);
      const directives = (headers.get(POLICY) ?? '').split('; ').sort();
      expect(directives).toEqual([
        "base-uri 'none'",
        "connect-src 'self'",
        "default-src 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "img-src 'self' data:",
        "script-src 'self'",
        "style-src 'self'",
      ]);
    }
  });
});

test('answers of the API and of the probes have no headers of a page', async () => {
  const id = freshWalletId();
  const deposited = await app.deposit(id, 1n);
  const paths = ['/livez', '/readyz', '/nothing', `${WALLETS}/${id}`, `${WALLETS}/0`];
  const answers = await Promise.all(paths.map((path) => app.request(path)));
  for (const { headers } of [deposited, ...answers]) {
    const names = [...headers.keys()];
    expect(names.filter((name) => name in PROTECTION || name === POLICY)).toEqual([]);
  }
});

describe('no answer names the program that made it:', () => {
  const BANNERS = ['server', 'via', 'x-powered-by', 'x-generator'];
  const post = (body: string) => {
    return { method: 'POST', headers: { 'content-type': 'application/json' }, body };
  };
  type Row = [string, number, string, RequestInit];
  const requests: Row[] = [
    ['a redirect', 302, '/', {}],
    ...PAGE_PATHS.slice(1).map((path): Row => [path, 200, path, {}]),
    ['a probe', 200, '/livez', {}],
    ['a deposit', 200, WALLETS, post('{"walletID":1,"operationType":"DEPOSIT","amount":1}')],
    ['what is allowed', 204, WALLETS, { method: 'OPTIONS' }],
    ['a refusal', 400, WALLETS, post('{')],
    ['an unknown path', 404, '/nothing', {}],
    ['a wrong method', 405, WALLETS, {}],
    ['a body too large', 413, WALLETS, post('x'.repeat(20_000))],
    ["Bun's own refusal of a body", 413, WALLETS, post('x'.repeat(1_048_577))],
    ["Bun's own refusal of a head", 431, '/', { headers: { x: 'x'.repeat(20_000) } }],
  ];
  test.each(requests)('%s, %d', async (_, status, path, init) => {
    const answer = await app.request(path, init);
    expect(answer.status).toBe(status);
    expect([...answer.headers.keys()].filter((name) => BANNERS.includes(name))).toEqual([]);
  });
});
