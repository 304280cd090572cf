/**
 * A client generated from the OpenAPI document (openapi-typescript, openapi-fetch): it compiles,
 * it refuses to compile what the document does not allow, and it runs against the service.
 * The generator wants the compiler as a library, which TypeScript 7 is not: it gets TypeScript 5.
 */
import { afterAll, beforeAll, expect, mock, test } from 'bun:test';
import { rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import typescript from 'typescript-5';
import { projectRoot } from '../../src/config.ts';
import { startApp, type TestApp } from '../helpers/app.ts';
import { freshWalletId, temporaryFolder } from '../helpers/database.ts';

/** A wallet id that the client's numbers hold. */
const WALLET = Number(freshWalletId() % 1_000_000_000_000n);

/** Lines marked `@ts-expect-error` keep the whole from compiling if the document allows them. */
const PROGRAM = `
import createClient from 'openapi-fetch';
import type { paths } from './paths.ts';

const client = createClient<paths>({ baseUrl: process.argv[2] ?? '' });
const key = crypto.randomUUID();

const deposit = () =>
  client.POST('/api/v1/wallets', {
    params: { header: { 'Idempotency-Key': key, 'If-None-Match': '*' } },
    body: { walletID: ${WALLET}, operationType: 'DEPOSIT', amount: 42 },
  });
const first = await deposit();
const replay = await deposit();
const refused = await client.POST('/api/v1/wallets', {
  body: { walletID: ${WALLET}, operationType: 'WITHDRAW', amount: 43 },
});
const page = await client.GET('/api/v1/wallets/{id}/operations', {
  params: { path: { id: ${WALLET} }, query: { limit: 10 } },
});
const past = await client.GET('/api/v1/wallets/{id}', {
  params: { path: { id: ${WALLET} }, query: { version: 1 } },
});

const balance: number | undefined = first.data?.data.amount;
const operations = page.data?.data.operations ?? [];
const keys: (string | undefined)[] = operations.map(({ idempotencyKey }) => idempotencyKey);
const next: number | null | undefined = page.data?.data.next;
console.log(JSON.stringify({
  balance,
  replayed: [first, replay].map(({ response }) => response.headers.get('idempotency-replayed')),
  again: replay.data?.data.amount,
  tag: replay.response.headers.get('etag'),
  refusal: refused.error,
  isOwnKey: keys.map((one) => one === key),
  versions: operations.map(({ version }) => version),
  next,
  past: past.data?.data,
}));

export const wrong = () => [
  // @ts-expect-error: no such operation type
  client.POST('/api/v1/wallets', { body: { walletID: 1, operationType: 'deposit', amount: 1 } }),
  // @ts-expect-error: the amount is missing
  client.POST('/api/v1/wallets', { body: { walletID: 1, operationType: 'DEPOSIT' } }),
  // @ts-expect-error: a path needs its wallet
  client.GET('/api/v1/wallets/{id}/operations', { params: { query: { limit: 1 } } }),
  // @ts-expect-error: no such parameter
  client.GET('/api/v1/wallets/{id}', { params: { path: { id: 1 }, query: { limit: 1 } } }),
  // @ts-expect-error: no such path
  client.GET('/api/v1/wallets/{id}/holds', {}),
];
`;

const SETTINGS = {
  compilerOptions: {
    ...{ target: 'esnext', module: 'preserve', moduleResolution: 'bundler', types: ['bun'] },
    ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
    ...{ noEmit: true, allowImportingTsExtensions: true, skipLibCheck: true },
  },
  files: ['client.ts'],
};

let app: TestApp;
let folder: string;
beforeAll(async () => {
  app = await startApp();
  folder = await temporaryFolder();
  await symlink(join(projectRoot, 'node_modules'), join(folder, 'node_modules'));
  mock.module('typescript', () => ({ ...typescript, default: typescript }));
  const { astToString, default: generate } = await import('openapi-typescript');
  const { text } = await app.request('/swagger/json');
  const types = astToString(await generate(JSON.parse(text)));
  await writeFile(join(folder, 'paths.ts'), types);
  await writeFile(join(folder, 'client.ts'), PROGRAM);
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(SETTINGS));
});
afterAll(() => Promise.all([app.stop(), rm(folder, { recursive: true })]));

async function run(...words: string[]) {
  const child = Bun.spawn([process.execPath, ...words], { cwd: folder, stderr: 'inherit' });
  return { printed: await child.stdout.text(), code: await child.exited };
}

test('the client compiles, and what the document does not allow does not', async () => {
  const compiler = join(projectRoot, 'node_modules/typescript/bin/tsc');
  expect(await run(compiler, '-p', '.')).toEqual({ printed: '', code: 0 });
});

test('the client deposits, repeats, is refused, and reads the history', async () => {
  const { printed, code } = await run('client.ts', app.url);
  expect(code).toBe(0);
  expect(JSON.parse(printed)).toEqual({
    balance: 42,
    replayed: [null, 'true'],
    again: 42,
    tag: '"1"',
    refusal: { success: false, message: 'insufficient funds', data: null },
    isOwnKey: [true],
    versions: [1],
    next: null,
    past: { id: WALLET, amount: 42 },
  });
});
