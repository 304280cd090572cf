/**
 * The OpenAPI document against the running service: what it accepts is accepted, and each refusal
 * is provoked and compared with its documented status, schema and example.
 * Everything is read with exact integers, because the bounds are beyond what a number holds.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { type RefusalEntry, type RefusalKind, refusals } from '../../src/http/refusals.ts';
import type { Ledger, NotApplied } from '../../src/ledger/ledger.ts';
import { type Answer, startApp, type TestApp, WALLETS } from '../helpers/app.ts';
import { freshWalletId } from '../helpers/database.ts';
import { newToken } from '../helpers/tokens.ts';

const MAX = 9223372036854775807n;

interface Schema {
  type: string;
  nullable?: boolean;
  enum?: unknown[];
  minimum?: bigint;
  maximum?: bigint;
  required?: string[];
  properties?: Record<string, Schema>;
  items?: Schema;
}

type Content = Record<string, { schema: Schema; examples: Record<string, { value: unknown }> }>;

interface Parameter {
  in: string;
  name: string;
  required: boolean;
  schema: Schema;
}

interface Operation {
  security: object[];
  parameters: Parameter[];
  requestBody?: { required: boolean; content: Content };
  responses: Record<string, { headers?: object; content?: Content }>;
}

const JSON_TYPE = 'application/json';
const PROBLEM = 'application/problem+json';

/** What `fits` knows, and after that what only informs. */
const KEYWORD =
  /^(type|nullable|enum|minimum|maximum|required|properties|items|format|description|example)$/;

/** JSON with integer literals as bigints and other numbers as they are. */
function exact(text: string): unknown {
  const revive = (_name: string, value: unknown, { source = '' }: { source?: string }) =>
    typeof value === 'number' && /^-?\d+$/.test(source) ? BigInt(source) : value;
  return JSON.parse(text, revive as (name: string, value: unknown) => unknown);
}

function fits(schema: Schema, value: unknown): boolean {
  if (schema.enum && !schema.enum.includes(value)) return false;
  if (value === null) return schema.nullable === true;
  if (schema.type === 'integer') {
    const { minimum, maximum } = schema as Required<Schema>;
    return typeof value === 'bigint' && value >= minimum && value <= maximum;
  }
  if (schema.type === 'array') {
    return Array.isArray(value) && value.every((one) => fits(schema.items as Schema, one));
  }
  if (typeof value !== schema.type) return false;
  const object = value as Record<string, unknown>;
  const properties = Object.entries(schema.properties ?? {});
  return (
    (schema.required ?? []).every((name) => Object.hasOwn(object, name)) &&
    properties.every(([name, inner]) => !Object.hasOwn(object, name) || fits(inner, object[name]))
  );
}

/** Fails by the wallet's id, as no database does on demand. */
const failingLedger: Ledger = {
  async apply({ walletId }) {
    if (walletId === 2n) return { kind: 'outcome_unknown', reason: 'R' };
    if (walletId === 1n) return { kind: 'not_applied', reason: 'R' };
    throw new Error('for the log only');
  },
  balance: fail,
  balanceAt: fail,
  operations: fail,
};

async function fail(walletId: bigint): Promise<NotApplied> {
  if (walletId === 1n) return { kind: 'not_applied', reason: 'R' };
  throw new Error('for the log only');
}

const [poor, full] = [freshWalletId(), freshWalletId()];
const reader = newToken('reports', 'read');
let [app, failing, guarded] = [] as unknown as [TestApp, TestApp, TestApp];
let [post, get, page] = [] as unknown as [Operation, Operation, Operation];
let text: string;
beforeAll(async () => {
  app = await startApp();
  failing = await startApp({ ledger: failingLedger, requestTimeoutMs: 100 });
  guarded = await startApp({ admission: [reader.token] });
  await Promise.all([app.deposit(poor, 1n), app.deposit(full, MAX)]);
  text = (await app.request('/swagger/json')).text;
  const { paths } = exact(text) as { paths: Record<string, Record<string, Operation>> };
  post = paths[WALLETS]?.post as Operation;
  get = paths[`${WALLETS}/{id}`]?.get as Operation;
  page = paths[`${WALLETS}/{id}/operations`]?.get as Operation;
});
afterAll(() => Promise.all([app.stop(), failing.stop(), guarded.stop()]));

const json = (content: Content | undefined, type = JSON_TYPE) => content?.[type] as Content[string];
const allContents = (): Content[] =>
  [post, get, page]
    .flatMap(({ requestBody, responses }) => [requestBody, ...Object.values(responses)])
    .flatMap((one) => (one?.content ? [one.content] : []));
const withInner = ({ items, ...schema }: Schema): Schema[] =>
  [schema, ...(items ? withInner(items) : [])].concat(
    Object.values(schema.properties ?? {}).flatMap(withInner),
  );
const allParameters = () => [post, get, page].flatMap(({ parameters }) => parameters);
const allSchemas = () =>
  [...allParameters(), ...allContents().flatMap((content) => Object.values(content))].flatMap(
    ({ schema }) => withInner(schema),
  );

describe('the document', () => {
  test('is OpenAPI 3.0 with exactly the three operations of the service', () => {
    const { openapi, paths } = JSON.parse(text) as { openapi: string; paths: object };
    expect(openapi).toMatch(/^3\.0\.\d$/);
    const methods = Object.entries(paths).flatMap(([path, item]) => [path, ...Object.keys(item)]);
    const ofWallet = `${WALLETS}/{id}`;
    expect(methods).toEqual([WALLETS, 'post', ofWallet, 'get', `${ofWallet}/operations`, 'get']);
    const bodies = [post, get, page].map(({ requestBody }) => requestBody?.required);
    expect(bodies).toEqual([true, undefined, undefined]);
  });

  test('asks for a token on every operation, or for none where there are none', () => {
    const { components } = JSON.parse(text);
    expect(components.securitySchemes.bearer).toMatchObject({ type: 'http', scheme: 'bearer' });
    for (const { security } of [post, get, page]) expect(security).toEqual([{ bearer: [] }, {}]);
  });

  test('names every parameter of an operation, and asks for none but the id', () => {
    const named = [post, get, page].map(({ parameters }) =>
      parameters.map((one) => `${one.in} ${one.name}${one.required ? '' : '?'}`),
    );
    expect(named).toEqual([
      ['header Idempotency-Key?', 'header If-Match?', 'header If-None-Match?'],
      ['path id', 'query version?', 'query at?', 'header If-None-Match?'],
      ['path id', 'query limit?', 'query before?', 'header If-None-Match?'],
    ]);
  });

  test('has every refusal as JSON and as problem details, all else as JSON', () => {
    for (const { requestBody, responses } of [post, get, page]) {
      for (const [status, { content }] of Object.entries(responses)) {
        const types = Number(status) < 400 ? [JSON_TYPE] : [JSON_TYPE, PROBLEM];
        expect([status, Object.keys(content ?? {})]).toEqual([
          status,
          status === '304' ? [] : types,
        ]);
      }
      expect(Object.keys(requestBody?.content ?? {})).toEqual(requestBody ? [JSON_TYPE] : []);
    }
  });

  test('uses keywords of OpenAPI 3.0 schemas only, and its examples fit its schemas', () => {
    const optional = allSchemas().flatMap((one) => {
      expect(Object.keys(one).filter((name) => !KEYWORD.test(name))).toEqual([]);
      const names = Object.keys(one.properties ?? {});
      expect(names).toEqual(expect.arrayContaining(one.required ?? []));
      return names.filter((name) => !one.required?.includes(name));
    });
    const known = ['balance', 'errors', 'idempotencyKey', 'shortfall'];
    expect([...new Set(optional)].sort()).toEqual(known);
    for (const { schema, examples } of allContents().flatMap((one) => Object.values(one))) {
      const fitting = Object.values(examples).map(({ value }) => fits(schema, value));
      expect([...new Set(fitting)]).toEqual([true]);
    }
  });

  test('gives every integer its exact bounds: those of int64, but for a limit and a status', () => {
    const integers = allSchemas().filter(({ type }) => type === 'integer');
    const others = integers.filter(({ maximum }) => maximum !== MAX);
    for (const one of integers.filter(({ maximum }) => maximum === MAX)) {
      expect(one).toMatchObject({ format: 'int64', minimum: expect.any(BigInt) });
    }
    const bounds = others.map(({ minimum, maximum }) => `${minimum}-${maximum}`);
    expect([...new Set(bounds)].sort()).toEqual(['1-1000', '400-599']);
    expect(integers.length - others.length).toBeGreaterThan(12);
    expect(text).toContain('"maximum":9223372036854775807');
  });
});

const body = (walletID: unknown, amount: unknown, operationType = '"DEPOSIT"') =>
  `{"walletID":${walletID},"operationType":${operationType},"amount":${amount}}`;

test('the documented requests are accepted, and their answers fit the schema', async () => {
  const id = freshWalletId();
  const { schema } = json(post.responses[200]?.content);
  const requests = JSON.parse(text).paths[WALLETS].post.requestBody.content['application/json'];
  for (const { value } of Object.values<{ value: object }>(requests.examples)) {
    const request = JSON.stringify(value).replace('"walletID":1,', `"walletID":${id},`);
    const answer = await app.post(request);
    expect([answer.status, fits(schema, exact(answer.text))]).toEqual([200, true]);
  }
  const read = await app.balance(id);
  expect(fits(json(get.responses[200]?.content).schema, exact(read.text))).toBe(true);
  const history = await app.request(`${WALLETS}/${id}/operations?limit=1`);
  const { schema: ofPage } = json(page.responses[200]?.content);
  expect(fits(ofPage, exact(history.text))).toBe(true);
  // So that what fits is not just anything.
  expect(history.text).toContain('"next":2}');
  const wrong = ['"next":1}', '"next":"2"}'].map((next) => history.text.replace('"next":2}', next));
  wrong.push(history.text.replace('"version":2', '"version":0'));
  expect(wrong.map((one) => fits(ofPage, exact(one)))).toEqual([false, false, false]);
});

test('a query parameter is accepted exactly when it fits the documented schema', async () => {
  const id = freshWalletId();
  await app.deposit(id, 1n);
  const literals = ['', '0', '1', '-1', '+1', '01', '1.0', '1e0', '0x1', 'x', '%201', '1%00'];
  const values = [...literals, '1000', '1001', String(MAX), String(MAX + 1n)];
  const integers = [get, page].flatMap(({ parameters }, at) =>
    parameters
      .filter((one) => one.in === 'query' && one.schema.type === 'integer')
      .map(({ name, schema }) => ({
        path: `${WALLETS}/${id}${['', '/operations'][at]}`,
        name,
        schema,
      })),
  );
  expect(integers.map(({ name }) => name)).toEqual(['version', 'limit', 'before']);
  for (const { path, name, schema } of integers) {
    for (const value of values) {
      const answer = await app.request(`${path}?${name}=${value}`);
      const isInteger = /^[1-9]\d*$/.test(value) && fits(schema, BigInt(value));
      expect([name, value, answer.status !== 400]).toEqual([name, value, isInteger]);
      if (!isInteger) expect(answer.text).toContain(`${name}: must be an integer from 1 to `);
    }
  }
});

test('the documented headers are those of the answers', async () => {
  const id = freshWalletId();
  const deposit = body(id, 1);
  const headers = { 'idempotency-key': 'k', 'if-none-match': '"1"' };
  const first = await app.post(deposit, headers);
  const again = await app.post(deposit, headers);
  const names = ({ headers: all }: Answer) =>
    [...all.keys()].filter((name) => !/^(date|content-\w+)$/.test(name)).sort();
  const documented = ({ responses }: Operation, status: number) =>
    Object.keys(responses[status]?.headers ?? {}).map((name) => name.toLowerCase());
  expect(names(first)).toEqual(['etag']);
  expect([again.status, names(again)]).toEqual([200, documented(post, 200).sort()]);
  for (const [operation, path] of [[get, ''] as const, [page, '/operations'] as const]) {
    const read = await app.request(`${WALLETS}/${id}${path}`);
    const had = await app.request(`${WALLETS}/${id}${path}`, { headers });
    expect([read.status, names(read)]).toEqual([200, documented(operation, 200)]);
    expect([had.status, names(had), had.text]).toEqual([304, documented(operation, 304), '']);
  }
});

test('a body is accepted exactly when it fits the documented schema', async () => {
  const literals = ['0', '1', '-1', '1.0', '1e0', '"1"', 'true', 'null', '[1]', MAX, MAX + 1n];
  const words = ['"DEPOSIT"', '"WITHDRAW"', '"deposit"', '""', '1', 'null'];
  const bodies = [
    ...literals.map((literal) => body(freshWalletId(), literal)),
    ...literals.map((literal) => body(literal, MAX, '"WITHDRAW"')),
    ...words.map((word) => body(freshWalletId(), 1, word)),
    ...['{}', '{"walletID":1,"amount":1}', '[]', '"text"', '1'],
    `{"more":null,${body(freshWalletId(), 1).slice(1)}`,
  ];
  const { schema } = json(post.requestBody?.content);
  for (const one of bodies) {
    const answer = await app.post(one);
    expect([one, !answer.text.includes('must be')]).toEqual([one, fits(schema, exact(one))]);
  }
});

type Headers = Record<string, string>;
type Provoker = (headers: Headers) => Promise<Answer>;
type Provoke = Partial<Record<RefusalKind, Provoker>>;

/** How each refusal of an operation comes about. */
const ofPost: Provoke = {
  unauthorized: (headers) => guarded.post('{', headers),
  forbidden: (headers) => guarded.post('{', { ...headers, ...reader.headers }),
  body_too_large: (headers) => app.post('x'.repeat(16_385), headers),
  unsupported_media_type: (headers) => app.post('{}', { ...headers, 'content-type': 'text/plain' }),
  body_too_slow: (headers) => {
    const all = { ...headers, 'content-type': JSON_TYPE };
    return failing.request(WALLETS, { method: 'POST', headers: all, body: new ReadableStream() });
  },
  invalid_header: (headers) => app.post('{', { ...headers, 'if-match': '3' }),
  body_not_json: (headers) => app.post('{', headers),
  body_not_object: (headers) => app.post('[]', headers),
  invalid_request: (headers) => app.post(body(freshWalletId(), 0), headers),
  key_reused: async (headers) => {
    const [id, key] = [freshWalletId(), { 'idempotency-key': 'k' }];
    await app.post(body(id, 1), key);
    return app.post(body(id, 2), { ...headers, ...key });
  },
  precondition_failed: (headers) => app.post(body(poor, 1), { ...headers, 'if-none-match': '*' }),
  insufficient_funds: (headers) => app.post(body(poor, 2, '"WITHDRAW"'), headers),
  wallet_not_found: (headers) => app.post(body(freshWalletId(), 1, '"WITHDRAW"'), headers),
  balance_limit: (headers) => app.post(body(full, 1), headers),
  not_applied: (headers) => failing.post(body(1, 1), headers),
  outcome_unknown: (headers) => failing.post(body(2, 1), headers),
  internal_error: (headers) => failing.post(body(3, 1), headers),
};
const ofGet: Provoke = {
  unauthorized: (headers) => read(poor, headers, guarded),
  invalid_header: (headers) => read(poor, { ...headers, 'if-none-match': '3' }),
  invalid_request: (headers) => read(0, headers),
  no_wallet: (headers) => read(freshWalletId(), headers),
  no_version: (headers) => read(`${poor}?version=2`, headers),
  not_applied: (headers) => read(1, headers, failing),
  internal_error: (headers) => read(3, headers, failing),
};
const ofPage: Provoke = {
  unauthorized: (headers) => read(`${poor}/operations`, headers, guarded),
  invalid_header: (headers) => read(`${poor}/operations`, { ...headers, 'if-none-match': '3' }),
  invalid_request: (headers) => read('0/operations', headers),
  no_wallet: (headers) => read(`${freshWalletId()}/operations`, headers),
  not_applied: (headers) => read('1/operations', headers, failing),
  internal_error: (headers) => read('3/operations', headers, failing),
};

const read = (path: unknown, headers: Headers, from = app) =>
  from.request(`${WALLETS}/${path}`, { headers });

/** What a problem has beyond its documented example. */
const extras: Partial<Record<RefusalKind, object>> = {
  insufficient_funds: { balance: 1n, shortfall: 1n },
  invalid_request: {
    errors: [{ pointer: '#/amount', detail: `must be an integer from 1 to ${MAX}` }],
  },
};

async function expectDocumented(
  { responses, ...operation }: Operation,
  kind: RefusalKind,
  answer: Answer,
) {
  const { status, message }: RefusalEntry = refusals[kind];
  const { content, headers } = responses[status] as Operation['responses'][string];
  const type = answer.headers.get('content-type') ?? '';
  const { schema, examples } = json(content, type);
  const got = exact(answer.text);
  const example = examples[kind]?.value as Record<'message' | 'detail', string>;
  const member = type === PROBLEM ? 'detail' : 'message';
  const reason = message.endsWith(': ') ? { [member]: `${message}R` } : {};
  const more = type === PROBLEM && (kind !== 'invalid_request' || operation.requestBody);
  expect([kind, answer.status, fits(schema, got)]).toEqual([kind, status, true]);
  expect(got).toEqual({ ...example, ...reason, ...(more ? extras[kind] : {}) });
  expect(example[member]).toStartWith(message);
  const special = ['Retry-After', 'WWW-Authenticate'].filter((name) => answer.headers.has(name));
  expect(special).toEqual(Object.keys(headers ?? {}));
}

test('each refusal of an operation is documented under its status with its text', async () => {
  const operations = [[post, ofPost] as const, [get, ofGet] as const, [page, ofPage] as const];
  for (const [operation, provoked] of operations) {
    for (const [kind, provoke] of Object.entries(provoked) as [RefusalKind, Provoker][]) {
      for (const accept of ['*/*', JSON_TYPE, PROBLEM]) {
        const answer = await provoke({ accept });
        const type = accept === PROBLEM ? PROBLEM : JSON_TYPE;
        expect(answer.headers.get('content-type')).toBe(type);
        await expectDocumented(operation, kind, answer);
      }
    }
    const kinds = Object.keys(provoked) as RefusalKind[];
    for (const type of [JSON_TYPE, PROBLEM]) {
      const examples = Object.values(operation.responses).flatMap(({ content }) => {
        return Object.keys(json(content, type)?.examples ?? {});
      });
      expect(examples.sort()).toEqual([...(type === PROBLEM ? [] : ['ok']), ...kinds].sort());
    }
    const fulfilled = operation === post ? ['200'] : ['200', '304'];
    const statuses = kinds.map((kind) => String(refusals[kind].status));
    const documented = Object.keys(operation.responses);
    expect(documented).toEqual([...new Set([...fulfilled, ...statuses])].sort());
  }
  const others = ['unknown_path', 'method_not_allowed', 'not_ready'];
  const kinds = new Set([...Object.keys({ ...ofPost, ...ofGet, ...ofPage }), ...others]);
  expect([...kinds].sort()).toEqual(Object.keys(refusals).sort());
});
