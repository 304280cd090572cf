/**
 * The headers of every page that a browser shows, and of all that the page loads.
 * Invariant: a page runs, shows and asks for only what its own server serves; nothing written into
 * its markup runs, nobody frames it, and what it is opened from or leads to learns nothing of it.
 * (Trusted Types are left out: Swagger UI writes markup as text, and would show nothing.)
 */

const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  // The style sheet of the documentation holds its small images itself.
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
];

/** To be set on each answer of a page; not for answers of the API, which no browser shows. */
export const pageHeaders: Record<string, string> = {
  'content-security-policy': CONTENT_SECURITY_POLICY.join('; '),
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};
