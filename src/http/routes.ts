/**
 * The paths that are known, and the method that each answers.
 * Invariant: what a client asks for falls under one of few names, whatever its path says.
 */

/** HEAD comes with GET, OPTIONS with all. Those that most requests ask for stand first. */
export const ROUTES: Record<string, 'GET' | 'POST'> = {
  '/api/v1/wallets': 'POST',
  '/api/v1/wallets/:id': 'GET',
  '/api/v1/wallets/:id/operations': 'GET',
  '/livez': 'GET',
  '/readyz': 'GET',
  '/': 'GET',
  '/swagger': 'GET',
  '/swagger/json': 'GET',
  '/swagger/:asset': 'GET',
};

/** Those that move money or tell of it. */
export const API_ROUTES = Object.keys(ROUTES).filter((path) => path.startsWith('/api/'));

const UNKNOWN = 'unknown';

/** Each matches where the path begins; without a copy of it, which would take most of the time. */
const patterns = Object.keys(ROUTES).map((path) => ({
  path,
  pattern: new RegExp(`${path.replaceAll(/:\w+/g, '[^/?]+')}(?![^?])`, 'y'),
}));

/** Behind `http://`, no host is shorter than one character. */
const HOST_END_MIN = 8;

/** Where the path begins. Without a Host, Bun gives a path alone as the URL. */
const startOfPath = (url: string) => (url.startsWith('/') ? 0 : url.indexOf('/', HOST_END_MIN));

/** The path of a URL, whatever its host is; it need not be valid. */
export const pathOf = (url: string) => url.slice(startOfPath(url)).replace(/\?.*/s, '');

/** The path of a URL as `ROUTES` has it, or `unknown`. */
export function routeOf(url: string): string {
  const start = startOfPath(url);
  for (const { path, pattern } of patterns) {
    pattern.lastIndex = start;
    if (pattern.test(url)) return path;
  }
  return UNKNOWN;
}
