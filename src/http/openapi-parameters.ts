/**
 * Describes the parameters of the wallet routes: path, query and headers.
 * Invariant: an integer's bounds come from the schema that checks it.
 */
import { PageQuery, VersionQuery, WalletPath } from './schema.ts';

const text = (example: string, format?: string) => ({
  type: 'string' as const,
  ...(format === undefined ? {} : { format }),
  example,
});

/** The example stands in the text: the page would send it with whatever a reader tries. */
const parameter = (place: 'query' | 'header', name: string, description: string, shape: object) => {
  const { example, ...schema } = shape as { example?: unknown };
  const explained = `${description} For example \`${example}\`.`;
  return { in: place, name, required: false, description: explained, schema };
};

export const walletId = {
  in: 'path' as const,
  name: 'id',
  required: true,
  description: `The wallet's id: ${WalletPath.properties.id.description}.`,
  schema: WalletPath.properties.id,
};

export const ifNoneMatch = parameter(
  'header',
  'If-None-Match',
  'Versions that the client has, as entity tags: 304 if the answer is still one of them.',
  text('"3"'),
);

export const idempotencyKey = parameter(
  'header',
  'Idempotency-Key',
  'Makes it safe to ask again: the wallet answers each further use of the key as the first, ' +
    'refusals included, with Idempotency-Replayed, and applies nothing. 1 to 255 printable ' +
    'ASCII characters, bare or in quotes. Kept for 24 hours or longer.',
  text('8e03978e-40d5-43dd-bc93-6894a57f9324'),
);

export const ifMatch = parameter(
  'header',
  'If-Match',
  'Applies the operation only if the wallet is at one of these versions, or with `*` only if ' +
    'it exists.',
  text('"3"'),
);

export const ifNoneMatchOfOperation = parameter(
  'header',
  'If-None-Match',
  'Applies the operation only if the wallet is at none of these versions, or with `*` only ' +
    'if it does not exist.',
  text('*'),
);

export const version = parameter(
  'query',
  'version',
  'The balance right after this operation of the wallet.',
  VersionQuery.properties.version,
);

export const at = parameter(
  'query',
  'at',
  'The balance at this time (RFC 3339): after the last operation that is not later.',
  text('2026-01-31T23:59:59.999Z', 'date-time'),
);

export const limit = parameter(
  'query',
  'limit',
  'Operations in a page; 50 without it.',
  PageQuery.properties.limit,
);

export const before = parameter(
  'query',
  'before',
  'Only operations whose version is lower.',
  PageQuery.properties.before,
);
