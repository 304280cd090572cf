/**
 * Entity tags and conditions: every answer for a wallet names its version, a read that would bring
 * nothing new is 304, and an operation is applied only in the state that its client has seen.
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
import { freshWalletId, storedBalance } from '../helpers/database.ts';
import { rawRequest } from '../helpers/raw-request.ts';

const MAX = 9223372036854775807n;
const FAILED = refusalText('precondition failed');
const fault = (name: string) =>
  refusalText(`${name}: must be * or a list of entity tags such as "3", "5"`);

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.stop());

type Headers = Record<string, string>;

const deposit = (id: bigint, headers: Headers, amount = 1n) =>
  app.post(operationText(id, 'DEPOSIT', amount), headers);
const withdraw = (id: bigint, headers: Headers, amount = 1n) =>
  app.post(operationText(id, 'WITHDRAW', amount), headers);
const tag = ({ headers }: Answer) => headers.get('etag');

/** A wallet at a version, with as much in it. */
async function walletAt(version: number): Promise<bigint> {
  const id = freshWalletId();
  for (let at = 0; at < version; at += 1) await app.deposit(id, 1n);
  return id;
}

describe('an ETag', () => {
  test('is the version of the wallet right after the operation', async () => {
    const id = freshWalletId();
    const answers = [
      await app.deposit(id, 5n),
      await app.withdraw(id, 2n),
      await app.deposit(id, 1n),
    ];
    expect(answers.map(tag)).toEqual(['"1"', '"2"', '"3"']);
  });

  test('of concurrent operations is different for each, and belongs to its balance', async () => {
    const id = freshWalletId();
    const answers = await Promise.all(Array.from({ length: 30 }, () => app.deposit(id, 1n)));
    const told = answers.map((one) => [tag(one), one.text]).sort();
    const expected = Array.from({ length: 30 }, (_, at) => [
      `"${at + 1}"`,
      successText(id, BigInt(at + 1)),
    ]);
    expect(told).toEqual(expected.sort());
  });

  test('of a read is that of the last operation, of the past that of its version', async () => {
    const id = await walletAt(3);
    expect(tag(await app.balance(id))).toBe('"3"');
    expect(tag(await app.request(`${WALLETS}/${id}/operations`))).toBe('"3"');
    expect(tag(await app.request(`${WALLETS}/${id}/operations?before=2`))).toBe('"3"');
    expect(tag(await app.request(`${WALLETS}/${id}?version=2`))).toBe('"2"');
    expect(tag(await app.request(`${WALLETS}/${id}?at=9999-01-01T00:00:00Z`))).toBe('"3"');
    expect(tag(await app.request(`${WALLETS}/${id}`, { method: 'HEAD' }))).toBe('"3"');
  });

  test('does not move with a refused operation, which has none', async () => {
    const id = await walletAt(2);
    const refused = [await app.withdraw(id, 3n), await deposit(id, { 'if-match': '"1"' })];
    expect(refused.map(tag)).toEqual([null, null]);
    expect(tag(await app.balance(id))).toBe('"2"');
  });
});

describe('If-None-Match on a read', () => {
  const paths = [
    '',
    '?version=3',
    '?at=9999-01-01T00:00:00Z',
    '/operations',
    '/operations?limit=1',
  ];
  const had = ['"3"', '*', ' * ', '"1", "3"', '"3","1"', ',, "3" ,', '"x", "3"', 'W/"3", "3"'];
  const hadNot = [
    '"2"',
    '"4"',
    'W/"3"',
    '"03"',
    '"3.0"',
    '"x"',
    '""',
    '"3 "',
    '"1","2"',
    `"${MAX}"`,
  ];

  test.each(paths)('is 304 with the tag and no body for what the client has: %s', async (path) => {
    const id = await walletAt(3);
    for (const value of had) {
      const headers = { 'if-none-match': value };
      for (const method of ['GET', 'HEAD']) {
        const answer = await app.request(`${WALLETS}/${id}${path}`, { method, headers });
        expect([value, answer.status, tag(answer), answer.text]).toEqual([value, 304, '"3"', '']);
        expect(answer.headers.get('content-type')).toBe(null);
      }
    }
  });

  test.each(paths)('is 200 for what the client has not: %s', async (path) => {
    const id = await walletAt(3);
    const plain = await app.request(`${WALLETS}/${id}${path}`);
    // A space within a tag makes it malformed.
    for (const value of hadNot.filter((one) => !one.includes(' '))) {
      const headers = { 'if-none-match': value };
      const answer = await app.request(`${WALLETS}/${id}${path}`, { headers });
      const expected = [value, 200, '"3"', plain.text];
      expect([value, answer.status, tag(answer), answer.text]).toEqual(expected);
    }
  });

  test('is 200 again after the next operation', async () => {
    const id = await walletAt(1);
    const headers = { 'if-none-match': '"1"' };
    expect((await app.request(`${WALLETS}/${id}`, { headers })).status).toBe(304);
    await app.deposit(id, 1n);
    const answer = await app.request(`${WALLETS}/${id}`, { headers });
    expect([answer.status, answer.text]).toEqual([200, successText(id, 2n)]);
    const history = await app.request(`${WALLETS}/${id}/operations`, { headers });
    expect(history.status).toBe(200);
    const past = await app.request(`${WALLETS}/${id}?version=1`, { headers });
    expect(past.status).toBe(304);
  });

  test('changes nothing about a wallet or a version that does not exist', async () => {
    const headers = { 'if-none-match': '*' };
    const id = await walletAt(1);
    for (const path of [freshWalletId(), `${freshWalletId()}/operations`, `${id}?version=2`]) {
      expect((await app.request(`${WALLETS}/${path}`, { headers })).status).toBe(404);
    }
  });
});

describe('If-Match on an operation', () => {
  test.each([
    ['"3"', true],
    ['"1", "3"', true],
    ['"3","1"', true],
    [', "3" ,,', true],
    ['"x", "3"', true],
    ['W/"3", "3"', true],
    ['*', true],
    [' *\t', true],
    ['"2"', false],
    ['"4"', false],
    ['"1", "2"', false],
    ['W/"3"', false],
    ['W/"3", "2"', false],
    ['"03"', false],
    ['"x"', false],
    ['""', false],
    ['"*"', false],
    ['"1,3"', false],
    ['"-3"', false],
    [`"${MAX}"`, false],
    [`"${MAX + 1n}"`, false],
    [`"${'9'.repeat(500)}"`, false],
    ['"0"', false],
    ['"\xe9"', false],
  ])('of %s at version 3: applied %p', async (value, isApplied) => {
    const id = await walletAt(3);
    const answers = [
      await deposit(id, { 'if-match': value }),
      ...(isApplied ? [] : [await withdraw(id, { 'if-match': value })]),
    ];
    for (const { status, text } of answers) {
      expect([status, text]).toEqual(isApplied ? [200, successText(id, 4n)] : [412, FAILED]);
    }
    expect(await storedBalance(id)).toBe(isApplied ? 4n : 3n);
  });

  test('of a wallet that does not exist is never met, and makes none', async () => {
    for (const value of ['*', '"0"', '"1"', `"${MAX}"`]) {
      const id = freshWalletId();
      const answers = [
        await deposit(id, { 'if-match': value }),
        await withdraw(id, { 'if-match': value }),
      ];
      expect(answers.map(({ status, text }) => [status, text])).toEqual([
        [412, FAILED],
        [412, FAILED],
      ]);
      expect(await storedBalance(id)).toBeUndefined();
      expect((await app.balance(id)).status).toBe(404);
    }
  });

  test('sees the operations before it in the flight: of many at once, one is applied', async () => {
    const id = await walletAt(1);
    const answers = await Promise.all(
      Array.from({ length: 30 }, () => deposit(id, { 'if-match': '"1"' }, 5n)),
    );
    const applied = answers.filter(({ status }) => status === 200);
    expect(applied.map((one) => [tag(one), one.text])).toEqual([['"2"', successText(id, 6n)]]);
    expect(answers.filter(({ text }) => text === FAILED).length).toBe(29);
    expect(await storedBalance(id)).toBe(6n);
  });

  test('lets clients that read and write in turns lose nothing', async () => {
    const id = await walletAt(1);
    const increment = async (): Promise<void> => {
      const seen = tag(await app.balance(id)) ?? '';
      const { status } = await deposit(id, { 'if-match': seen });
      return status === 412 ? increment() : expect(status).toBe(200);
    };
    await Promise.all(Array.from({ length: 8 }, increment));
    expect(await storedBalance(id)).toBe(9n);
    expect(tag(await app.balance(id))).toBe('"9"');
  });
});

describe('If-None-Match on an operation', () => {
  test('of * is met by a wallet that does not exist: of many at once, one makes it', async () => {
    const id = freshWalletId();
    const answers = await Promise.all(
      Array.from({ length: 30 }, () => deposit(id, { 'if-none-match': '*' }, 5n)),
    );
    const applied = answers.filter(({ status }) => status === 200);
    expect(applied.map((one) => [tag(one), one.text])).toEqual([['"1"', successText(id, 5n)]]);
    expect(answers.filter(({ text }) => text === FAILED).length).toBe(29);
    expect(await storedBalance(id)).toBe(5n);
  });

  test('of * lets a withdrawal find out that there is no wallet', async () => {
    const id = freshWalletId();
    const answer = await withdraw(id, { 'if-none-match': '*' });
    expect([answer.status, answer.text]).toEqual([400, refusalText('wallet not found')]);
  });

  test.each([
    ['"3"', false],
    ['"2", "3"', false],
    ['*', false],
    ['"2"', true],
    ['W/"3"', true],
    ['"x"', true],
    [`"${MAX + 1n}"`, true],
  ])('of %s at version 3: applied %p', async (value, isApplied) => {
    const id = await walletAt(3);
    const { status, text } = await deposit(id, { 'if-none-match': value });
    expect([status, text]).toEqual(isApplied ? [200, successText(id, 4n)] : [412, FAILED]);
    expect(await storedBalance(id)).toBe(isApplied ? 4n : 3n);
  });

  test('sees the operations before it in the flight: of many at once, one is applied', async () => {
    const id = await walletAt(1);
    const answers = await Promise.all(
      Array.from({ length: 30 }, () => deposit(id, { 'if-none-match': '"2"' })),
    );
    expect(answers.filter(({ status }) => status === 200).map(tag)).toEqual(['"2"']);
    expect(await storedBalance(id)).toBe(2n);
  });

  test('counts beside If-Match: both must be met', async () => {
    const id = await walletAt(2);
    const pairs = [
      ['"2"', '"2"', 412],
      ['"1"', '"1"', 412],
      ['*', '*', 412],
      ['"2"', '"1"', 200],
    ] as const;
    for (const [ifMatch, ifNoneMatch, status] of pairs) {
      const headers = { 'if-match': ifMatch, 'if-none-match': ifNoneMatch };
      expect((await deposit(id, headers)).status).toBe(status);
    }
    expect(await storedBalance(id)).toBe(3n);
  });
});

test('a condition of one operation is none of its neighbours in the flight', async () => {
  const [id, other] = [await walletAt(1), await walletAt(1)];
  const answers = await Promise.all([
    deposit(id, {}),
    deposit(other, { 'if-match': '"7"' }),
    deposit(id, {}),
    deposit(freshWalletId(), { 'if-none-match': '*' }),
    deposit(freshWalletId(), { 'if-match': '*' }),
  ]);
  expect(answers.map(({ status }) => status)).toEqual([200, 412, 200, 200, 412]);
  expect(await Promise.all([id, other].map(storedBalance))).toEqual([3n, 1n]);
});

describe('a malformed header is 400 and changes nothing:', () => {
  const malformed = [
    ...['', ' ', ',', ', ,', '3', 'x', '"', '"3', '3"', '"3"4"', "'3'", '"3" "4"', '"3";', '"3 "'],
    ...['"3", *', '*, "3"', '* *', '**', '*,*', 'w/"3"', 'W/3', 'W /"3"', 'W/*', '"\x7f"', '"\t"'],
  ];
  const send = (name: string, values: string[], isRead: boolean, id: bigint) => {
    const lines = values.map((value) => `${name}: ${value}`);
    return rawRequest(
      app.port,
      isRead
        ? { method: 'GET', path: `${WALLETS}/${id}`, lines }
        : { method: 'POST', path: WALLETS, lines, body: operationText(id, 'DEPOSIT', 1n) },
    );
  };

  test.each(malformed)('%p', async (value) => {
    const id = await walletAt(1);
    const names = [['If-Match', false] as const, ['If-None-Match', false] as const];
    for (const [name, isRead] of [...names, ['If-None-Match', true] as const]) {
      const answer = await send(name, [value], isRead, id);
      expect(answer).toEqual({ status: 400, text: fault(name) });
    }
    const history = `${WALLETS}/${id}/operations`;
    const lines = [`If-None-Match: ${value}`];
    const answer = await rawRequest(app.port, { method: 'GET', path: history, lines });
    expect(answer).toEqual({ status: 400, text: fault('If-None-Match') });
    expect(await storedBalance(id)).toBe(1n);
  });

  test('a header that is sent twice is one list', async () => {
    const id = await walletAt(3);
    expect((await send('If-Match', ['"2"', '"3"'], false, id)).status).toBe(200);
    expect((await send('If-Match', ['"2"', '"3"'], false, id)).status).toBe(412);
    expect((await send('If-None-Match', ['"2"', '"4"'], true, id)).status).toBe(304);
    expect((await send('If-None-Match', ['*', '*'], true, id)).status).toBe(400);
  });

  test('If-Match on a read is not looked at', async () => {
    const id = await walletAt(1);
    const answer = await send('If-Match', ['x'], true, id);
    expect(answer).toEqual({ status: 200, text: successText(id, 1n) });
  });
});
