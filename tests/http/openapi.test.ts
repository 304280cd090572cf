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

const MAX = 9223372036854775807n;

interface Schema {
  type: string;
  nullable?: boolean;
  enum?: unknown[];
  minimum?: bigint;
  maximum?: bigint;
  required?: string[];
  properties?: Record<string, Schema>;
}

type Content = Record<string, { schema: Schema; examples: Record<string, { value: unknown }> }>;

interface Operation {
  parameters?: { in: string; name: string; required: boolean; schema: Schema }[];
  requestBody?: { required: boolean; content: Content };
  responses: Record<string, { headers?: object; content: Content }>;
}

/** What `fits` knows, and after that what only informs. */
const KEYWORD =
  /^(type|nullable|enum|minimum|maximum|required|properties|format|description|example)$/;

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
let [app, failing] = [] as unknown as [TestApp, TestApp];
let [post, get] = [] as unknown as [Operation, Operation];
let text: string;
beforeAll(async () => {
  app = await startApp();
  failing = await startApp({ ledger: failingLedger, requestTimeoutMs: 100 });
  await Promise.all([app.deposit(poor, 1n), app.deposit(full, MAX)]);
  text = (await app.request('/swagger/json')).text;
  const { paths } = exact(text) as { paths: Record<string, Record<string, Operation>> };
  post = paths[WALLETS]?.post as Operation;
  get = paths[`${WALLETS}/{id}`]?.get as Operation;
});
afterAll(() => Promise.all([app.stop(), failing.stop()]));

const json = (content: Content | undefined) => content?.['application/json'] as Content[string];
const allContents = (): Content[] =>
  [post, get]
    .flatMap(({ requestBody, responses }) => [requestBody, ...Object.values(responses)])
    .flatMap((one) => (one ? [one.content] : []));
const withInner = (schema: Schema): Schema[] =>
  [schema].concat(Object.values(schema.properties ?? {}).flatMap(withInner));
const allSchemas = () =>
  [...(get.parameters ?? []), ...allContents().map(json)].flatMap(({ schema }) =>
    withInner(schema),
  );

describe('the document', () => {
  test('is OpenAPI 3.0 with exactly the two operations of the service, in JSON only', () => {
    const { openapi, paths } = JSON.parse(text) as { openapi: string; paths: object };
    expect(openapi).toMatch(/^3\.0\.\d$/);
    const methods = Object.entries(paths).flatMap(([path, item]) => [path, ...Object.keys(item)]);
    expect(methods).toEqual([WALLETS, 'post', `${WALLETS}/{id}`, 'get']);
    expect([post.requestBody?.required, post.parameters]).toEqual([true, undefined]);
    expect(get.requestBody).toBeUndefined();
    expect(get.parameters).toMatchObject([{ in: 'path', name: 'id', required: true }]);
    const types = allContents().flatMap((content) => Object.keys(content));
    expect([...new Set(types)]).toEqual(['application/json']);
  });

  test('uses keywords of OpenAPI 3.0 schemas only, and its examples fit its schemas', () => {
    for (const one of allSchemas()) {
      expect(Object.keys(one).filter((name) => !KEYWORD.test(name))).toEqual([]);
      expect(one.required).toEqual(one.properties && Object.keys(one.properties));
    }
    for (const { schema, examples } of allContents().map(json)) {
      const fitting = Object.values(examples).map(({ value }) => fits(schema, value));
      expect([...new Set(fitting)]).toEqual([true]);
    }
  });

  test('gives every integer the exact bounds of int64', () => {
    const integers = allSchemas().filter(({ type }) => type === 'integer');
    expect(integers.length).toBe(7);
    for (const one of integers) expect(one).toMatchObject({ format: 'int64', maximum: MAX });
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

type Provoke = Partial<Record<RefusalKind, () => Promise<Answer>>>;

/** How each refusal of an operation comes about. */
const ofPost: Provoke = {
  body_too_large: () => app.post('x'.repeat(16_385)),
  unsupported_media_type: () => app.post('{}', { 'content-type': 'text/plain' }),
  body_too_slow: () => {
    const headers = { 'content-type': 'application/json' };
    return failing.request(WALLETS, { method: 'POST', headers, body: new ReadableStream() });
  },
  body_not_json: () => app.post('{'),
  body_not_object: () => app.post('[]'),
  invalid_request: () => app.deposit(freshWalletId(), 0n),
  insufficient_funds: () => app.withdraw(poor, 2n),
  wallet_not_found: () => app.withdraw(freshWalletId(), 1n),
  balance_limit: () => app.deposit(full, 1n),
  not_applied: () => failing.deposit(1n, 1n),
  outcome_unknown: () => failing.deposit(2n, 1n),
  internal_error: () => failing.deposit(3n, 1n),
};
const ofGet: Provoke = {
  invalid_request: () => app.balance(0n),
  no_wallet: () => app.balance(freshWalletId()),
  not_applied: () => failing.balance(1n),
  internal_error: () => failing.balance(3n),
};

async function expectDocumented({ responses }: Operation, kind: RefusalKind, answer: Answer) {
  const { status, message }: RefusalEntry = refusals[kind];
  const { content, headers } = responses[status] as Operation['responses'][string];
  const { schema, examples } = json(content);
  const got = exact(answer.text) as { message: string };
  const detail = message.endsWith(': ') ? 'R' : '';
  const example = examples[kind]?.value as { message: string };
  expect([kind, answer.status, fits(schema, got)]).toEqual([kind, status, true]);
  expect(got).toEqual(detail ? { ...example, message: message + detail } : example);
  expect(example.message).toStartWith(message);
  expect(answer.headers.has('retry-after')).toBe(headers !== undefined);
}

test('each refusal of an operation is documented under its status with its text', async () => {
  for (const [operation, provoked] of [[post, ofPost] as const, [get, ofGet] as const]) {
    for (const [kind, provoke] of Object.entries(provoked)) {
      await expectDocumented(operation, kind as RefusalKind, await provoke());
    }
    const kinds = Object.keys(provoked) as RefusalKind[];
    const examples = Object.values(operation.responses).flatMap(({ content }) => {
      return Object.keys(json(content).examples);
    });
    expect(examples.sort()).toEqual(['wallet', ...kinds].sort());
    const statuses = kinds.map((kind) => String(refusals[kind].status));
    expect(Object.keys(operation.responses)).toEqual([...new Set(['200', ...statuses])].sort());
  }
  const others = ['unknown_path', 'method_not_allowed', 'not_ready'];
  const kinds = [...Object.keys({ ...ofPost, ...ofGet }), ...others];
  expect(kinds.sort()).toEqual(Object.keys(refusals).sort());
});
