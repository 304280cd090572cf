/** Under which of few names a request is counted, whatever its path says. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { ROUTES, routeOf } from '../../src/http/routes.ts';

describe('the route of a URL', () => {
  test.each([
    ['http://localhost:8192/', '/'],
    ['http://a/livez', '/livez'],
    ['http://localhost/readyz?verbose', '/readyz'],
    ['http://localhost/swagger/json', '/swagger/json'],
    ['http://localhost/swagger/page.js', '/swagger/:asset'],
    ['http://localhost/api/v1/wallets', '/api/v1/wallets'],
    ['http://localhost/api/v1/wallets?x=/livez', '/api/v1/wallets'],
    ['http://localhost/api/v1/wallets/1', '/api/v1/wallets/:id'],
    ['http://localhost/api/v1/wallets/not-an-id?at=1', '/api/v1/wallets/:id'],
    ['http://[::1]:8192/api/v1/wallets/1/operations', '/api/v1/wallets/:id/operations'],
    // Without a Host, Bun gives a path alone.
    ['/api/v1/wallets', '/api/v1/wallets'],
    ['/api/v1/wallets/1?version=2', '/api/v1/wallets/:id'],
    ['/', '/'],
    ['http://localhost/api/v1/wallets/', 'unknown'],
    ['http://localhost/api/v1/wallets/1/', 'unknown'],
    ['http://localhost/api/v1/wallets/1/operations/', 'unknown'],
    ['http://localhost//api/v1/wallets', 'unknown'],
    ['http://localhost/api/v1/Wallets', 'unknown'],
    ['http://localhost/constructor', 'unknown'],
    ['http://localhost/unknown', 'unknown'],
    ['*', 'unknown'],
    ['', 'unknown'],
  ])('%s is %s', (url, route) => {
    expect(routeOf(url)).toBe(route);
  });

  test('is always one of those that are known, or unknown', () => {
    const known = new Set([...Object.keys(ROUTES), 'unknown']);
    const pieces = fc.constantFrom('/', '/api', '/v1', '/wallets', '/swagger', '?', '#', '%2f');
    const paths = fc.array(fc.oneof(pieces, fc.string()), { maxLength: 8 });
    fc.assert(fc.property(paths, (path) => known.has(routeOf(`http://a/${path.join('')}`))));
  });
});
