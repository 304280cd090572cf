/**
 * The documentation page and all that it loads. Whatever the page, its style sheet or its script
 * names must come from this service, or the page would not render without internet.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { type Answer, refusalText, startApp, type TestApp } from '../helpers/app.ts';

const ANOTHER_HOST = /(https?:)?\/\/[a-z0-9[]/i;

const TYPES: Record<string, string> = {
  css: 'text/css',
  js: 'text/javascript',
  png: 'image/png',
  json: 'application/json',
};

let app: TestApp;
let page: Answer;
beforeAll(async () => {
  app = await startApp();
  page = await app.request('/swagger');
});
afterAll(() => app.stop());

/** The values of every attribute of the page with which a browser loads something. */
function references(html: string): string[] {
  const found: string[] = [];
  const collect = new HTMLRewriter().on('*', {
    element: (element) => {
      for (const [name, value] of element.attributes) {
        if (['src', 'href', 'srcset', 'data', 'action'].includes(name)) found.push(value);
      }
    },
  });
  collect.transform(html);
  return found;
}

const mediaType = ({ headers }: Answer) => headers.get('content-type')?.split(';')[0];

describe('the page', () => {
  test('is HTML with a place to draw in', () => {
    expect([page.status, mediaType(page)]).toEqual([200, 'text/html']);
    expect(page.text).toContain('<main id="docs">');
  });

  test('is where / leads', async () => {
    const answer = await app.request('/');
    expect([answer.status, answer.headers.get('location')]).toEqual([302, '/swagger']);
  });

  test('names a style sheet, an icon and two scripts, all of this service', () => {
    const names = references(page.text).map((path) => path.replace('/swagger/', ''));
    const expected = ['favicon-32x32.png', 'page.js', 'swagger-ui-bundle.js', 'swagger-ui.css'];
    expect(names.sort()).toEqual(expected);
    expect(page.text).not.toMatch(ANOTHER_HOST);
  });

  test('finds everything that it names, as the right type and not empty', async () => {
    for (const path of references(page.text)) {
      const answer = await app.request(path);
      const type = TYPES[path.split('.').at(-1) ?? ''];
      expect([path, answer.status, mediaType(answer)]).toEqual([path, 200, type]);
      expect(answer.text.length).toBeGreaterThan(100);
    }
  });
});

test('the script of the page names paths of this service only, and finds them', async () => {
  const { text } = await app.request('/swagger/page.js');
  const code = text.replaceAll(/^\s*\/\/.*$/gm, '');
  expect(code).not.toMatch(ANOTHER_HOST);
  const paths = [...code.matchAll(/'(\/[^']*)'/g)].map(([, path]) => path as string);
  expect(paths).toEqual(['/swagger/json']);
  const document = await app.request('/swagger/json');
  expect([document.status, mediaType(document)]).toEqual([200, 'application/json']);
  expect(code).toMatch(/validatorUrl: null/);
  expect(page.text).toContain(`id="${/dom_id: '#(\w+)'/.exec(code)?.[1]}"`);
});

test('the style sheet loads nothing but what it holds itself', async () => {
  const { text } = await app.request('/swagger/swagger-ui.css');
  expect(text).not.toContain('@import');
  const urls = [...text.matchAll(/url\(\s*["']?([^"')]{1,60})/g)].map(([, url]) => url as string);
  expect(urls.length).toBeGreaterThan(0);
  expect(urls.filter((url) => !url.startsWith('data:'))).toEqual([]);
});

describe('an asset', () => {
  test.each([
    ...['nothing', 'index.html', 'package.json', 'docs-page.html', 'swagger-ui.css.map'],
    ...['constructor', '__proto__', 'toString', 'PAGE.JS', 'page.js%00', 'page.js%20'],
    ...['..%2f..%2fpackage.json', '..%2fexact-json.ts', '%2e%2e%2f%2e%2e%2fpackage.json'],
    ...['..%5c..%5cpackage.json', '%2fetc%2fpasswd', '..%252f..%252fpackage.json', '%c0%ae%c0%ae'],
  ])('of any other name is 404 in the envelope: %s', async (name) => {
    const answer = await app.request(`/swagger/${name}`);
    expect([answer.status, answer.text]).toEqual([404, refusalText('not found')]);
    expect(answer.headers.get('content-type')).toBe('application/json');
  });

  test('may be kept by a browser, unlike the page that names it', async () => {
    const asset = await app.request('/swagger/swagger-ui-bundle.js');
    expect(asset.headers.get('cache-control')).toBe('public, max-age=86400');
    expect(page.headers.get('cache-control') ?? '').not.toContain('max-age');
  });
});
