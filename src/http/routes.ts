/**
 * The paths that are known, and the method that each answers.
 * Invariant: what a client asks for falls under one of few names, whatever its path says.
 */

/** HEAD comes with GET, OPTIONS with all. */
export const ROUTES: Record<string, 'GET' | 'POST'> = {
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

const UNKNOWN = 'unknown';

const patterns = Object.keys(ROUTES)
  .filter((path) => path.includes(':'))
  .map((path) => ({ path, pattern: new RegExp(`^${path.replaceAll(/:\w+/g, '[^/]+')}$`) }));

/** Behind `http://`, no host is shorter than one character. */
const HOST_END_MIN = 8;

/**
 * The path of a URL as `ROUTES` has it, or `unknown`.
 * @param url also a path alone, as Bun gives for a request without a Host.
 */
export function routeOf(url: string): string {
  const start = url.startsWith('/') ? 0 : url.indexOf('/', HOST_END_MIN);
  const query = url.indexOf('?', start);
  const path = url.slice(start, query < 0 ? undefined : query);
  if (Object.hasOwn(ROUTES, path)) return path;
  return patterns.find(({ pattern }) => pattern.test(path))?.path ?? UNKNOWN;
}
