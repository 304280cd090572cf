/**
 * `Idempotency-Key`: of one wallet and one key, the first use decides and every later one is
 * answered alike, whatever happened in between and however many come at once.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  type Answer,
  operationText,
  refusalText,
  startApp,
  successText,
  type TestApp,
  WALLETS,
} from '../helpers/app.ts';
import { freshWalletId, storedBalance, testDatabase } from '../helpers/database.ts';
import { rawRequest } from '../helpers/raw-request.ts';
import { until } from '../helpers/service.ts';

const MAX = 9223372036854775807n;
const REUSED = refusalText('idempotency key was used with another request');
const MALFORMED = refusalText('Idempotency-Key: must be 1 to 255 printable ASCII characters');

let [app, other] = [] as unknown as [TestApp, TestApp];
beforeAll(async () => {
  app = await startApp();
  other = await startApp();
});
afterAll(() => Promise.all([app.stop(), other.stop()]));

type Headers = Record<string, string>;

const deposit = (id: bigint, amount: bigint, key: string, headers?: Headers, on = app) =>
  on.post(operationText(id, 'DEPOSIT', amount), { 'idempotency-key': key, ...headers });
const withdraw = (id: bigint, amount: bigint, key: string, headers?: Headers, on = app) =>
  on.post(operationText(id, 'WITHDRAW', amount), { 'idempotency-key': key, ...headers });

const isReplayed = ({ headers }: Answer) => headers.get('idempotency-replayed');

/** What a retry must repeat; the headers but for the one that says it is a retry. */
const told = ({ status, text, headers }: Answer) => ({ status, text, etag: headers.get('etag') });

/** The keys in a wallet's history, oldest first. */
async function keysOf(id: bigint): Promise<(string | undefined)[]> {
  const { text } = await app.request(`${WALLETS}/${id}/operations`);
  const { operations } = JSON.parse(text).data;
  return operations.map((one: { idempotencyKey?: string }) => one.idempotencyKey).reverse();
}

async function recordedKeys(id: bigint): Promise<bigint> {
  const { sql } = await testDatabase();
  const [row] = await sql<{ count: bigint }[]>`
    select count(*) from idempotency_keys where wallet_id = ${id}`;
  return row?.count ?? -1n;
}

/** Asks again with the same key, and expects what the first use was answered. */
async function expectReplay(first: Answer, again: Promise<Answer>) {
  const answer = await again;
  expect([isReplayed(first), isReplayed(answer)]).toEqual([null, 'true']);
  expect(told(answer)).toEqual(told(first));
}

describe('an operation', () => {
  test('without a key is applied each time', async () => {
    const id = freshWalletId();
    const answers = [await app.deposit(id, 5n), await app.deposit(id, 5n)];
    expect(answers.map(({ text }) => text)).toEqual([successText(id, 5n), successText(id, 10n)]);
    expect(answers.map(isReplayed)).toEqual([null, null]);
    expect(await keysOf(id)).toEqual([undefined, undefined]);
    expect(await recordedKeys(id)).toBe(0n);
  });

  test('with a key is applied once, and each retry gets the first answer', async () => {
    const id = freshWalletId();
    const first = await deposit(id, 5n, 'k');
    expect([first.status, first.text]).toEqual([200, successText(id, 5n)]);
    await app.deposit(id, 100n);
    await expectReplay(first, deposit(id, 5n, 'k'));
    await app.withdraw(id, 105n);
    await expectReplay(first, deposit(id, 5n, 'k'));
    expect(await storedBalance(id)).toBe(0n);
    expect(await keysOf(id)).toEqual(['k', undefined, undefined]);
  });

  test('that withdraws is applied once, even if the balance has gone since', async () => {
    const id = freshWalletId();
    await app.deposit(id, 5n);
    const first = await withdraw(id, 5n, 'k');
    expect(first.text).toBe(successText(id, 0n));
    await expectReplay(first, withdraw(id, 5n, 'k'));
    expect(await storedBalance(id)).toBe(0n);
  });

  test('is remembered by the database, not by the process', async () => {
    const id = freshWalletId();
    const gone = await startApp();
    const first = await deposit(id, 5n, 'k', {}, gone);
    await gone.stop();
    await expectReplay(first, deposit(id, 5n, 'k', {}, other));
    expect(await storedBalance(id)).toBe(5n);
  });

  test('of another wallet has keys of its own', async () => {
    const ids = [freshWalletId(), freshWalletId()] as const;
    const answers = [await deposit(ids[0], 5n, 'k'), await deposit(ids[1], 7n, 'k')];
    expect(answers.map(({ text }) => text)).toEqual([
      successText(ids[0], 5n),
      successText(ids[1], 7n),
    ]);
    expect(answers.map(isReplayed)).toEqual([null, null]);
  });

  test('of another type or amount is refused, and the key keeps its answer', async () => {
    const id = freshWalletId();
    const first = await deposit(id, 5n, 'k');
    const others = [
      await withdraw(id, 5n, 'k'),
      await deposit(id, 6n, 'k'),
      await deposit(id, 4n, 'k'),
      await withdraw(id, 500n, 'k'),
    ];
    expect(others.map(({ status, text }) => [status, text])).toEqual(Array(4).fill([422, REUSED]));
    expect(others.map(isReplayed)).toEqual([null, null, null, null]);
    expect(await storedBalance(id)).toBe(5n);
    await expectReplay(first, deposit(id, 5n, 'k'));
  });
});

describe('a refusal is repeated:', () => {
  test('insufficient funds, even if the balance has grown since', async () => {
    const id = freshWalletId();
    await app.deposit(id, 5n);
    const first = await withdraw(id, 6n, 'k');
    expect([first.status, first.text]).toEqual([400, refusalText('insufficient funds')]);
    await app.deposit(id, 100n);
    await expectReplay(first, withdraw(id, 6n, 'k'));
    expect(await storedBalance(id)).toBe(105n);
  });

  test('insufficient funds, in the form asked for, with the figures of then', async () => {
    const id = freshWalletId();
    await app.deposit(id, 5n);
    await withdraw(id, 7n, 'k');
    await app.deposit(id, 1n);
    const again = await withdraw(id, 7n, 'k', { accept: 'application/problem+json' });
    expect([again.status, isReplayed(again)]).toEqual([400, 'true']);
    expect(JSON.parse(again.text)).toMatchObject({ balance: 5, shortfall: 2 });
    expect((await withdraw(id, 7n, 'k')).text).toBe(refusalText('insufficient funds'));
  });

  test('wallet not found, even if the wallet was made since', async () => {
    const id = freshWalletId();
    const first = await withdraw(id, 1n, 'k');
    expect([first.status, first.text]).toEqual([400, refusalText('wallet not found')]);
    expect(await storedBalance(id)).toBeUndefined();
    await app.deposit(id, 100n);
    await expectReplay(first, withdraw(id, 1n, 'k'));
    expect(await storedBalance(id)).toBe(100n);
  });

  test('balance limit exceeded, even if there is room since', async () => {
    const id = freshWalletId();
    await app.deposit(id, MAX);
    const first = await deposit(id, 1n, 'k');
    expect([first.status, first.text]).toEqual([400, refusalText('balance limit exceeded')]);
    await app.withdraw(id, 10n);
    await expectReplay(first, deposit(id, 1n, 'k'));
    expect(await storedBalance(id)).toBe(MAX - 10n);
  });

  test('a condition that failed, even if it would hold now or is not named again', async () => {
    const id = freshWalletId();
    await app.deposit(id, 1n);
    const first = await deposit(id, 5n, 'k', { 'if-match': '"2"' });
    expect([first.status, first.text]).toEqual([412, refusalText('precondition failed')]);
    await app.deposit(id, 1n);
    await expectReplay(first, deposit(id, 5n, 'k', { 'if-match': '"2"' }));
    await expectReplay(first, deposit(id, 5n, 'k'));
    expect(await storedBalance(id)).toBe(2n);
  });
});

describe('a recorded key answers before', () => {
  test('a condition that no longer holds, or has come since', async () => {
    const id = freshWalletId();
    const first = await deposit(id, 5n, 'k', { 'if-none-match': '*' });
    expect(first.text).toBe(successText(id, 5n));
    for (const condition of [{ 'if-none-match': '*' }, { 'if-match': '"7"' }, {}] as Headers[]) {
      await expectReplay(first, deposit(id, 5n, 'k', condition));
    }
    expect((await deposit(id, 6n, 'k', { 'if-none-match': '*' })).status).toBe(422);
  });
});

describe('what is not recorded:', () => {
  const full = () => startApp({ queueMax: 0 });

  const faults: [string, number, (id: bigint) => Promise<Answer>][] = [
    ['a body that does not fit the schema', 400, (id) => deposit(id, 0n, 'k')],
    ['a body that is not JSON', 400, () => app.post('{', { 'idempotency-key': 'k' })],
    ['a body too large', 413, () => app.post('x'.repeat(16_385), { 'idempotency-key': 'k' })],
    ['another content type', 415, (id) => deposit(id, 1n, 'k', { 'content-type': 'text/plain' })],
    ['a malformed condition', 400, (id) => deposit(id, 1n, 'k', { 'if-match': 'x' })],
  ];
  test.each(faults)('%s', async (_name, status, request) => {
    const id = freshWalletId();
    expect((await request(id)).status).toBe(status);
    const answer = await deposit(id, 5n, 'k');
    expect([answer.text, isReplayed(answer)]).toEqual([successText(id, 5n), null]);
  });

  test('a full queue', async () => {
    const [id, busy] = [freshWalletId(), await full()];
    expect((await deposit(id, 5n, 'k', {}, busy)).status).toBe(503);
    await busy.stop();
    const answer = await deposit(id, 5n, 'k');
    expect([answer.text, isReplayed(answer)]).toEqual([successText(id, 5n), null]);
  });

  test('a key that was used with another request', async () => {
    const id = freshWalletId();
    await deposit(id, 5n, 'k');
    expect((await deposit(id, 6n, 'k')).status).toBe(422);
    expect((await deposit(id, 6n, 'k')).status).toBe(422);
    expect(await recordedKeys(id)).toBe(1n);
  });
});

/** All at once, half of them to each of two workers. */
const atOnce = (request: (on: TestApp) => Promise<Answer>) =>
  Promise.all(Array.from({ length: 20 }, (_, at) => request(at % 2 ? app : other)));

function expectOneDecision(answers: Answer[], status: number, text: string) {
  expect(answers.map((one) => [one.status, one.text])).toEqual(answers.map(() => [status, text]));
  expect(answers.filter((one) => isReplayed(one) === null).length).toBe(1);
}

describe('the same key at once, in two workers,', () => {
  test('is applied once, on a wallet that does not exist yet', async () => {
    for (let round = 0; round < 10; round += 1) {
      const id = freshWalletId();
      const answers = await atOnce((on) => deposit(id, 5n, 'k', {}, on));
      expectOneDecision(answers, 200, successText(id, 5n));
      expect(await storedBalance(id)).toBe(5n);
    }
  });

  test('is decided once, on a wallet that does not come to exist', async () => {
    for (let round = 0; round < 10; round += 1) {
      const id = freshWalletId();
      const answers = await atOnce((on) => withdraw(id, 5n, 'k', {}, on));
      expectOneDecision(answers, 400, refusalText('wallet not found'));
      expect([await storedBalance(id), await recordedKeys(id)]).toEqual([undefined, 1n]);
    }
  });

  test('is decided once, though no lock is there for who comes second', async () => {
    for (let round = 0; round < 60; round += 1) {
      const id = freshWalletId();
      // One to each, because a flight of several is sent again in halves when it fails.
      const pair = [withdraw(id, 5n, 'k', {}, app), withdraw(id, 5n, 'k', {}, other)];
      expectOneDecision(await Promise.all(pair), 400, refusalText('wallet not found'));
    }
  });

  test('is applied once, on a wallet that exists', async () => {
    for (let round = 0; round < 10; round += 1) {
      const id = freshWalletId();
      await app.deposit(id, 8n);
      const answers = await atOnce((on) => withdraw(id, 5n, 'k', {}, on));
      expectOneDecision(answers, 200, successText(id, 3n));
      expect(await storedBalance(id)).toBe(3n);
    }
  });

  test('with two amounts lets one of them decide', async () => {
    const id = freshWalletId();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, at) => {
        return deposit(id, BigInt(5 + (at % 2)), 'k', {}, at % 4 < 2 ? app : other);
      }),
    );
    const balance = (await storedBalance(id)) ?? 0n;
    expect([5n, 6n]).toContain(balance);
    const ok = answers.filter(({ text }) => text === successText(id, balance));
    const refused = answers.filter(({ status, text }) => status === 422 && text === REUSED);
    expect([ok.length, refused.length]).toEqual([10, 10]);
    expect(answers.filter((one) => one.status === 200 && !isReplayed(one)).length).toBe(1);
  });
});

/** What waits while the only slot is held up flies together. */
async function inOneFlight(requests: (on: TestApp) => Promise<Answer>[]): Promise<Answer[]> {
  const { sql } = await testDatabase();
  const [single, locked] = [await startApp({ flightSlots: 1 }), freshWalletId()];
  await single.deposit(locked, 1n);
  const answers = await sql.begin(async (held) => {
    await held`select from wallets where id = ${locked} for update`;
    const heldUp = single.deposit(locked, 1n);
    const isWaiting = async () => {
      const [row] = await held`select from pg_locks where not granted`;
      return row !== undefined;
    };
    await until(isWaiting, 'a flight that waits for the lock');
    const waiting = requests(single);
    // Until all have been read; the answers come after the lock is gone.
    await single.request('/livez');
    return { all: Promise.all([...waiting, heldUp]) };
  });
  const done = await answers.all;
  await single.stop();
  return done.slice(0, -1);
}

async function appliedAt(id: bigint): Promise<string[]> {
  const { text } = await app.request(`${WALLETS}/${id}/operations`);
  return JSON.parse(text).data.operations.map((one: { createdAt: string }) => one.createdAt);
}

describe('the same key at once', () => {
  test('in one flight is applied once, and both get the answer', async () => {
    const id = freshWalletId();
    const answers = await inOneFlight((on) => [
      deposit(id, 5n, 'k', {}, on),
      deposit(id, 7n, 'other', {}, on),
      deposit(id, 5n, 'k', {}, on),
      deposit(id, 8n, 'k', {}, on),
      withdraw(id, 9000n, 'poor', {}, on),
      withdraw(id, 9000n, 'poor', {}, on),
    ]);
    const expected = answers.map(({ status, text }) => [status, text]);
    expect(answers.filter((one) => isReplayed(one) === 'true').length).toBe(2);
    expect(expected[0]).toEqual(expected[2]);
    expect(expected[4]).toEqual([400, refusalText('insufficient funds')]);
    expect(expected[5]).toEqual(expected[4]);
    expect(expected[3]).toEqual([422, REUSED]);
    expect(await storedBalance(id)).toBe(12n);
    // One flight has one time.
    const times = await appliedAt(id);
    expect([times.length, new Set(times).size]).toEqual([2, 1]);
  });

  test('in one flight, on several wallets, keeps them apart', async () => {
    const ids = [freshWalletId(), freshWalletId()] as const;
    const answers = await inOneFlight((on) => [
      deposit(ids[1], 5n, 'k', {}, on),
      deposit(ids[0], 7n, 'k', {}, on),
      withdraw(freshWalletId(), 1n, 'k', {}, on),
      deposit(ids[1], 5n, 'k', {}, on),
      deposit(ids[0], 7n, 'k', {}, on),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 400, 200, 200]);
    expect(answers.filter((one) => isReplayed(one) === 'true').length).toBe(2);
    expect(await Promise.all(ids.map(storedBalance))).toEqual([7n, 5n]);
  });
});

/** Every printable character that needs no escape. */
const printable = String.fromCharCode(...Array.from({ length: 95 }, (_, at) => at + 32));
const plain = printable.replaceAll(/["\\]/g, '');

const same: [string, string, string][] = [
  [
    'quoted or bare',
    '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
    '8e03978e-40d5-43dd-bc93-6894a57f9324',
  ],
  ['escaped or bare', '"a\\"b\\\\c"', 'a"b\\c'],
  ['of one character, quoted or bare', '"k"', 'k'],
  ['of 255 characters, quoted or bare', `"${'k'.repeat(255)}"`, 'k'.repeat(255)],
  ['of 255 characters, some of them escaped', `"${'\\"'.repeat(255)}"`, `"${'\\"'.repeat(255)}"`],
  ['within white space or without', ' \t k \t', 'k'],
  ['with what means something in an array', 'NULL', '"NULL"'],
  ['with braces and commas', '{a,b},', '"{a,b},"'],
  ['with a quote of SQL', "';--", `"';--"`],
];
const malformed: [string, string][] = [
  ['nothing', ''],
  ['nothing in quotes', '""'],
  ['256 characters', 'k'.repeat(256)],
  ['256 characters in quotes', `"${'k'.repeat(256)}"`],
  ['256 characters in escapes', `"${'\\"'.repeat(256)}"`],
  ['only the first quote', '"k'],
  ['a quote within quotes', '"k"k"'],
  ['an unknown escape', '"\\k"'],
  ['an escape of nothing', '"k\\"'],
  ['a space without quotes', 'k k'],
  ['a tab in quotes', '"k\tk"'],
  ['a parameter', '"k";a=1'],
  ['a list', '"k", "l"'],
  ['a character that is not ASCII', 'k\xe9'],
  ['a character that is not ASCII in quotes', '"k\xe9"'],
  ['UTF-8', '"\xc3\xa9"'],
  ['a character that does not print', 'k\x7f'],
];
describe('a key', () => {
  test.each(same)('is the same %s', async (_name, one, two) => {
    const id = freshWalletId();
    const first = await deposit(id, 5n, one);
    expect(first.text).toBe(successText(id, 5n));
    await expectReplay(first, deposit(id, 5n, two));
  });

  test.each([
    ['every printable character in quotes', `"${plain}"`, plain],
    ['every escape', '"\\"\\\\"', '"\\'],
    ['only a space in quotes', '" "', ' '],
    ['commas without a space', 'a,b', 'a,b'],
    ['the word NULL', 'NULL', 'NULL'],
    ['255 backslashes', `"${'\\\\'.repeat(255)}"`, '\\'.repeat(255)],
  ])('may have %s, and is shown in the history', async (_name, sent, key) => {
    const id = freshWalletId();
    const first = await deposit(id, 5n, sent);
    expect(first.text).toBe(successText(id, 5n));
    await expectReplay(first, deposit(id, 5n, sent));
    expect(await keysOf(id)).toEqual([key]);
  });

  test('is case-sensitive, and spaces in quotes count', async () => {
    const id = freshWalletId();
    for (const key of ['k', 'K', '" k"', '"k "', '"k  "']) {
      expect(isReplayed(await deposit(id, 1n, key))).toBe(null);
    }
    expect(await keysOf(id)).toEqual(['k', 'K', ' k', 'k ', 'k  ']);
  });

  test.each(malformed)('of %s is 400 and changes nothing', async (_name, key) => {
    const id = freshWalletId();
    const lines = [`Idempotency-Key: ${key}`];
    const body = operationText(id, 'DEPOSIT', 5n);
    const answer = await rawRequest(app.port, { method: 'POST', path: WALLETS, lines, body });
    expect(answer).toEqual({ status: 400, text: MALFORMED });
    expect(await storedBalance(id)).toBeUndefined();
  });

  test.each([
    ['twice', ['k', 'l']],
    ['twice the same', ['k', 'k']],
    ['twice in quotes', ['"k"', '"l"']],
    ['twice, once empty', ['k', '']],
  ])('that is sent %s is 400 and changes nothing', async (_name, keys) => {
    const id = freshWalletId();
    const lines = keys.map((key) => `Idempotency-Key: ${key}`);
    const body = operationText(id, 'DEPOSIT', 5n);
    const answer = await rawRequest(app.port, { method: 'POST', path: WALLETS, lines, body });
    expect(answer).toEqual({ status: 400, text: MALFORMED });
    expect(await storedBalance(id)).toBeUndefined();
  });
});

describe('where keys are required', () => {
  test('an operation without one is 400, and nothing else asks for one', async () => {
    const [id, strict] = [freshWalletId(), await startApp({ isKeyRequired: true })];
    const without = await strict.deposit(id, 5n);
    expect([without.status, without.text]).toEqual([
      400,
      refusalText('Idempotency-Key: is required'),
    ]);
    expect(await storedBalance(id)).toBeUndefined();
    expect((await deposit(id, 5n, 'k', {}, strict)).text).toBe(successText(id, 5n));
    expect((await strict.balance(id)).status).toBe(200);
    expect((await strict.request(`${WALLETS}/${id}/operations`)).status).toBe(200);
    await strict.stop();
  });
});
