/** Every row of the HTTP contract, over real HTTP, with the stored state after each refusal. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { refusalText, startApp, successText, type TestApp, WALLETS } from '../helpers/app.ts';
import { freshWalletId, storedBalance } from '../helpers/database.ts';

const MAX = 9223372036854775807n;
const ID_RULE = `must be an integer from 1 to ${MAX}`;
const FAULTS = {
  walletID: `walletID: ${ID_RULE}`,
  operationType: 'operationType: must be DEPOSIT or WITHDRAW',
  amount: `amount: ${ID_RULE}`,
};

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.stop());

describe('a deposit', () => {
  test('makes the wallet and answers its id and balance as JSON', async () => {
    const id = freshWalletId();
    const answer = await app.deposit(id, 42n);
    expect(answer.status).toBe(200);
    expect(answer.text).toBe(successText(id, 42n));
    expect(answer.headers.get('content-type')).toBe('application/json');
    expect(await storedBalance(id)).toBe(42n);
  });

  test('adds to a wallet that exists', async () => {
    const id = freshWalletId();
    await app.deposit(id, 42n);
    expect((await app.deposit(id, 8n)).text).toBe(successText(id, 50n));
  });

  test('fills a wallet up to the limit and is refused one above it', async () => {
    const id = freshWalletId();
    await app.deposit(id, MAX - 1n);
    expect((await app.deposit(id, 1n)).text).toBe(successText(id, MAX));
    const over = await app.deposit(id, 1n);
    expect([over.status, over.text]).toEqual([400, refusalText('balance limit exceeded')]);
    const farOver = await app.deposit(id, MAX);
    expect([farOver.status, farOver.text]).toEqual([400, refusalText('balance limit exceeded')]);
    expect(await storedBalance(id)).toBe(MAX);
  });
});

describe('a withdrawal', () => {
  test('takes from the balance, down to exactly zero', async () => {
    const id = freshWalletId();
    await app.deposit(id, 42n);
    expect((await app.withdraw(id, 41n)).text).toBe(successText(id, 1n));
    expect((await app.withdraw(id, 1n)).text).toBe(successText(id, 0n));
    expect(await storedBalance(id)).toBe(0n);
  });

  test('above the balance is refused and changes nothing', async () => {
    const id = freshWalletId();
    await app.deposit(id, 42n);
    const answer = await app.withdraw(id, 43n);
    expect([answer.status, answer.text]).toEqual([400, refusalText('insufficient funds')]);
    expect(await storedBalance(id)).toBe(42n);
  });

  test('from a wallet that does not exist is refused and makes none', async () => {
    const id = freshWalletId();
    const answer = await app.withdraw(id, 1n);
    expect([answer.status, answer.text]).toEqual([400, refusalText('wallet not found')]);
    expect(await storedBalance(id)).toBeUndefined();
  });
});

describe('a balance', () => {
  test('is answered for a wallet that exists', async () => {
    const id = freshWalletId();
    await app.deposit(id, 42n);
    const answer = await app.balance(id);
    expect([answer.status, answer.text]).toEqual([200, successText(id, 42n)]);
    expect(answer.headers.get('content-type')).toBe('application/json');
  });

  test('of a wallet that does not exist is 404', async () => {
    const answer = await app.balance(freshWalletId());
    expect([answer.status, answer.text]).toEqual([404, refusalText('wallet not found')]);
  });

  test.each(['0', '01', '-1', '+1', '1.0', '1e3', '0x10', 'abc', '%20', '9223372036854775808'])(
    'of the id %s is refused',
    async (id) => {
      const answer = await app.request(`${WALLETS}/${id}`);
      expect([answer.status, answer.text]).toEqual([400, refusalText(`id: ${ID_RULE}`)]);
    },
  );

  test('of the greatest id is answered', async () => {
    expect((await app.balance(MAX)).status).toBe(404);
  });
});

describe('a body', () => {
  const operation = (changes: Record<string, string>) => {
    const parts = { walletID: '1', operationType: '"DEPOSIT"', amount: '1', ...changes };
    return `{${Object.entries(parts).map(([name, value]) => `"${name}":${value}`)}}`;
  };

  test.each(['', '{', 'walletID=1', '{"walletID":1,}', "{'walletID':1}", '{"a":NaN}', '01'])(
    'that is not JSON is refused: %p',
    async (body) => {
      const answer = await app.post(body);
      expect([answer.status, answer.text]).toEqual([400, refusalText('body: must be JSON')]);
    },
  );

  test.each(['[]', '[{"walletID":1}]', 'null', '1', '"text"', 'true'])(
    'that is JSON but not an object is refused: %s',
    async (body) => {
      const answer = await app.post(body);
      expect([answer.status, answer.text]).toEqual([
        400,
        refusalText('body: must be a JSON object'),
      ]);
    },
  );

  test('without any field names every fault, in order', async () => {
    const answer = await app.post({});
    const faults = Object.values(FAULTS).join('; ');
    expect([answer.status, answer.text]).toEqual([400, refusalText(faults)]);
  });

  test('names its faults in the order of the contract, not of the body', async () => {
    const answer = await app.post('{"amount":0,"operationType":"DEPOSIT","walletID":0}');
    expect(answer.text).toBe(refusalText(`${FAULTS.walletID}; ${FAULTS.amount}`));
  });

  const wrongIntegers = [
    ['0', '-1', '-0', '5.0', '1e3', '1E3', '5.5', '"5"', 'true', 'null', '[1]', '{}', '""'],
    ['9223372036854775808', '92233720368547758070', '1e400', '10000000000000000000000000000'],
  ].flat();

  test.each(wrongIntegers)('with the wallet id or amount %s is refused', async (literal) => {
    const id = await app.post(operation({ walletID: literal }));
    expect([id.status, id.text]).toEqual([400, refusalText(FAULTS.walletID)]);
    const wallet = freshWalletId();
    const amount = await app.post(operation({ walletID: String(wallet), amount: literal }));
    expect([amount.status, amount.text]).toEqual([400, refusalText(FAULTS.amount)]);
    expect(await storedBalance(wallet)).toBeUndefined();
  });

  test.each(['"deposit"', '"DEPOSIT "', '"TRANSFER"', '""', '1', 'null', '["DEPOSIT"]'])(
    'with the operation type %s is refused',
    async (literal) => {
      const answer = await app.post(operation({ operationType: literal }));
      expect([answer.status, answer.text]).toEqual([400, refusalText(FAULTS.operationType)]);
    },
  );

  test('may have unknown properties, and of a repeated one the last counts', async () => {
    const id = freshWalletId();
    const body = `{"amount":7.5,"note":{"a":[1.5]},"walletID":"x","walletID":${id},
      "operationType":"DEPOSIT","amount":5}`;
    expect((await app.post(body)).text).toBe(successText(id, 5n));
  });

  test('has case-sensitive names', async () => {
    const answer = await app.post('{"walletId":1,"OperationType":"DEPOSIT","Amount":1}');
    expect(answer.text).toBe(refusalText(Object.values(FAULTS).join('; ')));
  });

  test('cannot smuggle fields in through __proto__ or constructor', async () => {
    const fields = '{"walletID":1,"operationType":"DEPOSIT","amount":1}';
    for (const name of ['__proto__', 'constructor', 'prototype']) {
      const answer = await app.post(`{"${name}":${fields}}`);
      expect(answer.text).toBe(refusalText(Object.values(FAULTS).join('; ')));
    }
    const id = freshWalletId();
    const plain = `{"__proto__":1,"walletID":${id},"operationType":"DEPOSIT","amount":1}`;
    expect((await app.post(plain)).text).toBe(successText(id, 1n));
  });
});

describe('a content type', () => {
  const body = () => `{"walletID":${freshWalletId()},"operationType":"DEPOSIT","amount":1}`;

  test.each(['application/json', 'Application/JSON', 'application/json; charset=utf-8'])(
    'of %s is accepted',
    async (type) => {
      expect((await app.post(body(), { 'content-type': type })).status).toBe(200);
    },
  );

  test.each(['text/plain', 'application/jsonp', 'application/x-www-form-urlencoded', 'json'])(
    'of %s is 415',
    async (type) => {
      const answer = await app.post(body(), { 'content-type': type });
      const message = 'Content-Type: must be application/json';
      expect([answer.status, answer.text]).toEqual([415, refusalText(message)]);
    },
  );

  test('that is missing is 415', async () => {
    const bytes = new TextEncoder().encode(body());
    const answer = await app.request(WALLETS, { method: 'POST', body: bytes });
    expect(answer.status).toBe(415);
  });
});

describe('a body of', () => {
  const padded = (bytes: number, id: bigint) => {
    const start = `{"walletID":${id},"operationType":"DEPOSIT","amount":1,"pad":"`;
    return `${start}${'x'.repeat(bytes - start.length - 2)}"}`;
  };
  const streamed = (text: string) =>
    new ReadableStream({
      start(controller) {
        for (let at = 0; at < text.length; at += 4096) {
          controller.enqueue(new TextEncoder().encode(text.slice(at, at + 4096)));
        }
        controller.close();
      },
    });

  test.each([16_383, 16_384])('%d bytes is read', async (bytes) => {
    const id = freshWalletId();
    expect((await app.post(padded(bytes, id))).text).toBe(successText(id, 1n));
  });

  test.each([16_385, 1_048_576])('%d bytes is 413', async (bytes) => {
    const id = freshWalletId();
    const answer = await app.post(padded(bytes, id));
    const message = 'body: must not be larger than 16384 bytes';
    expect([answer.status, answer.text]).toEqual([413, refusalText(message)]);
    expect(await storedBalance(id)).toBeUndefined();
  });

  test('unknown length is read up to the limit and 413 above it', async () => {
    const init = { method: 'POST', headers: { 'content-type': 'application/json' } };
    const id = freshWalletId();
    const within = await app.request(WALLETS, { ...init, body: streamed(padded(16_384, id)) });
    expect(within.text).toBe(successText(id, 1n));
    const above = await app.request(WALLETS, { ...init, body: streamed(padded(16_385, id)) });
    expect(above.status).toBe(413);
    expect(await storedBalance(id)).toBe(1n);
  });
});

describe('a path', () => {
  test.each([
    '/nothing',
    '/api',
    '/api/v1',
    `${WALLETS}/`,
    `${WALLETS}/1/`,
    `${WALLETS}/1/operations/`,
    `${WALLETS}/1/operations/1`,
    `${WALLETS}/operations/`,
    '/livez/',
    '/API/v1/wallets',
  ])('that is unknown is 404 in the envelope: %s', async (path) => {
    const answer = await app.request(path);
    expect([answer.status, answer.text]).toEqual([404, refusalText('not found')]);
    expect(answer.headers.get('content-type')).toBe('application/json');
  });

  const allowed = [
    ['/', 'GET, HEAD, OPTIONS'],
    ['/livez', 'GET, HEAD, OPTIONS'],
    ['/readyz', 'GET, HEAD, OPTIONS'],
    ['/swagger', 'GET, HEAD, OPTIONS'],
    ['/swagger/json', 'GET, HEAD, OPTIONS'],
    ['/swagger/page.js', 'GET, HEAD, OPTIONS'],
    [WALLETS, 'POST, OPTIONS'],
    [`${WALLETS}/1`, 'GET, HEAD, OPTIONS'],
    [`${WALLETS}/1/operations`, 'GET, HEAD, OPTIONS'],
  ] as const;

  test.each(allowed)('%s answers exactly what Allow says: %s', async (path, allow) => {
    const options = await app.request(path, { method: 'OPTIONS' });
    expect([options.status, options.text, options.headers.get('allow')]).toEqual([204, '', allow]);
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'PROPFIND']) {
      const { status, headers, text } = await app.request(path, { method });
      expect([method, status === 405]).toEqual([method, !allow.includes(method)]);
      if (status !== 405) continue;
      expect(headers.get('allow')).toBe(allow);
      expect(text).toBe(method === 'HEAD' ? '' : refusalText('method not allowed'));
    }
  });

  test('HEAD answers as GET without a body', async () => {
    const id = freshWalletId();
    await app.deposit(id, 42n);
    for (const path of [`${WALLETS}/${id}`, `${WALLETS}/0`, '/livez']) {
      const get = await app.request(path);
      const head = await app.request(path, { method: 'HEAD' });
      expect([head.status, head.text]).toEqual([get.status, '']);
      expect(head.headers.get('content-type')).toBe(get.headers.get('content-type'));
      expect(head.headers.get('content-length')).toBe(String(get.text.length));
    }
  });
});

describe('of several faults the first in this order is answered:', () => {
  const wrong = { body: 'x'.repeat(20_000), headers: { 'content-type': 'text/plain' } };

  test('path, method, size, content type, JSON, schema, ledger', async () => {
    const statuses = [
      await app.request('/nothing', { method: 'PUT', ...wrong }),
      await app.request(WALLETS, { method: 'PUT', ...wrong }),
      await app.request(WALLETS, { method: 'POST', ...wrong }),
      await app.request(WALLETS, { method: 'POST', ...wrong, body: 'x' }),
      await app.post('x'),
      await app.post('{"walletID":0}'),
    ].map(({ status }) => status);
    expect(statuses).toEqual([404, 405, 413, 415, 400, 400]);
  });
});
