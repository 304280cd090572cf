/**
 * Errors as problem details (RFC 9457), for clients that ask for them by name; and the order in
 * which requests are judged, which is the same whatever the form of the answer.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { refusals } from '../../src/http/refusals.ts';
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
import { newToken } from '../helpers/tokens.ts';

const MAX = 9223372036854775807n;
const PROBLEM = 'application/problem+json';
const ASKED = { accept: PROBLEM };
const TOO_LITTLE = 'Authorization: the token may read only';
const INTEGER = `must be an integer from 1 to ${MAX}`;

const [writer, reader] = [newToken('shop', 'write'), newToken('reports', 'read')];

let [app, full] = [] as unknown as [TestApp, TestApp];
beforeAll(async () => {
  app = await startApp();
  full = await startApp({ queueMax: 0, admission: [writer.token, reader.token] });
});
afterAll(() => Promise.all([app.stop(), full.stop()]));

type Headers = Record<string, string>;

const withdraw = (id: bigint, amount: bigint, headers: Headers = ASKED) =>
  app.post(operationText(id, 'WITHDRAW', amount), headers);

function expectProblem(answer: Answer, status: number, text: string) {
  expect([answer.status, answer.text]).toEqual([status, text]);
  expect(answer.headers.get('content-type')).toBe(PROBLEM);
}

describe('a problem', () => {
  test('has the type, title, status and message of the registry', async () => {
    expectProblem(
      await withdraw(freshWalletId(), 1n),
      400,
      '{"type":"/problems/wallet-not-found","title":"wallet not found","status":400,' +
        '"detail":"wallet not found"}',
    );
    expectProblem(
      await app.request(`${WALLETS}/${freshWalletId()}`, { headers: ASKED }),
      404,
      '{"type":"/problems/no-wallet","title":"no wallet","status":404,"detail":"wallet not found"}',
    );
  });

  test('of insufficient funds has the balance and what is missing', async () => {
    const id = freshWalletId();
    await app.deposit(id, 40n);
    expectProblem(
      await withdraw(id, 42n),
      400,
      '{"type":"/problems/insufficient-funds","title":"insufficient funds","status":400,' +
        '"detail":"insufficient funds","balance":40,"shortfall":2}',
    );
    expect(await storedBalance(id)).toBe(40n);
  });

  test('has exact integers', async () => {
    const id = freshWalletId();
    await app.deposit(id, 9007199254740993n);
    const { text } = await withdraw(id, MAX);
    expect(text).toEndWith(`,"balance":9007199254740993,"shortfall":${MAX - 9007199254740993n}}`);
  });

  test('of insufficient funds has the balance right before it, also in one flight', async () => {
    const id = freshWalletId();
    await app.deposit(id, 10n);
    const amounts = [7, 8, 9];
    const answers = await Promise.all(amounts.map((amount) => withdraw(id, BigInt(amount))));
    const rest = Number(await storedBalance(id));
    const problems = answers.flatMap(({ status, text }, at) => {
      return status === 200 ? [] : [[JSON.parse(text), amounts[at] ?? 0] as const];
    });
    expect(problems.length).toBe(2);
    // Whichever came before the one that was applied would have been applied itself.
    for (const [problem, amount] of problems) {
      expect(problem).toMatchObject({ balance: rest, shortfall: amount - rest });
    }
  });

  test('of a bad body points at every property that is wrong', async () => {
    const answer = await app.post('{"walletID":"1","amount":0}', ASKED);
    expectProblem(
      answer,
      400,
      '{"type":"/problems/invalid-request","title":"invalid request","status":400,' +
        `"detail":"walletID: ${INTEGER}; operationType: must be DEPOSIT or WITHDRAW; ` +
        `amount: ${INTEGER}","errors":[{"pointer":"#/walletID","detail":"${INTEGER}"},` +
        '{"pointer":"#/operationType","detail":"must be DEPOSIT or WITHDRAW"},' +
        `{"pointer":"#/amount","detail":"${INTEGER}"}]}`,
    );
  });
});

describe('each problem', () => {
  test('of a bad path or query has no pointer into a body', async () => {
    const reads = [
      ['0', `id: ${INTEGER}`],
      ['1?version=0', `version: ${INTEGER}`],
      ['1/operations?before=0', `before: ${INTEGER}`],
    ];
    for (const [path, detail] of reads) {
      expectProblem(
        await app.request(`${WALLETS}/${path}`, { headers: ASKED }),
        400,
        '{"type":"/problems/invalid-request","title":"invalid request","status":400,' +
          `"detail":"${detail}"}`,
      );
    }
  });

  test('keeps the headers of the refusal', async () => {
    const wrongMethod = await app.request(WALLETS, { method: 'PUT', headers: ASKED });
    expect([wrongMethod.status, wrongMethod.headers.get('allow')]).toEqual([405, 'POST, OPTIONS']);
    const unknown = await full.request(`${WALLETS}/1`, { headers: ASKED });
    const challenge = unknown.headers.get('www-authenticate');
    expect([unknown.status, challenge]).toEqual([401, 'Bearer realm="wallet"']);
    const busy = await full.request(`${WALLETS}/1`, { headers: { ...ASKED, ...reader.headers } });
    expect([busy.status, busy.headers.get('retry-after')]).toEqual([503, '1']);
    expect(JSON.parse(busy.text)).toEqual({
      ...{ type: '/problems/not-applied', title: 'not applied', status: 503 },
      detail: 'not applied: 0 others are waiting',
    });
  });

  test('comes from every route, also to HEAD and for a path that is none', async () => {
    const paths = ['/nothing', '/swagger/nothing', `${WALLETS}/`, `${WALLETS}/1/operations/`];
    for (const path of paths) {
      expectProblem(
        await app.request(path, { headers: ASKED }),
        404,
        '{"type":"/problems/unknown-path","title":"unknown path","status":404,' +
          '"detail":"not found"}',
      );
    }
    const head = await app.request('/nothing', { method: 'HEAD', headers: ASKED });
    expect([head.status, head.text, head.headers.get('content-type')]).toEqual([404, '', PROBLEM]);
  });

  test('is only for errors: a success is the envelope', async () => {
    const id = freshWalletId();
    const answer = await app.post(operationText(id, 'DEPOSIT', 1n), ASKED);
    expect([answer.status, answer.text]).toEqual([200, successText(id, 1n)]);
    expect(answer.headers.get('content-type')).toBe('application/json');
  });

  test('has a type of its own for each entry of the registry, which never changes', () => {
    expect(Object.keys(refusals)).toEqual([
      ...['unknown_path', 'method_not_allowed', 'unauthorized', 'forbidden'],
      ...['body_too_large', 'unsupported_media_type'],
      ...['body_too_slow', 'invalid_header', 'body_not_json', 'body_not_object'],
      ...['invalid_request', 'not_applied', 'outcome_unknown', 'key_reused'],
      ...['precondition_failed', 'insufficient_funds', 'wallet_not_found', 'balance_limit'],
      ...['no_wallet', 'no_version', 'not_ready', 'internal_error'],
    ]);
  });
});

describe('an Accept header', () => {
  const asking = [
    ...[PROBLEM, 'Application/Problem+JSON', `${PROBLEM};q=0.1`, `${PROBLEM} ; charset=utf-8`],
    ...[`application/json, ${PROBLEM}`, `${PROBLEM},*/*;q=0.1`, `text/html;q=0.9 , ${PROBLEM};q=1`],
    ...[`${PROBLEM};q=0.001`],
  ];
  test.each(asking)('of %s asks for problems', async (accept) => {
    const answer = await app.request('/nothing', { headers: { accept } });
    expect([answer.headers.get('content-type'), JSON.parse(answer.text).type]).toEqual([
      PROBLEM,
      '/problems/unknown-path',
    ]);
  });

  const others = [
    ...['*/*', 'application/*', 'application/json', '', 'application/problem+xml', 'problem+json'],
    ...[
      `${PROBLEM};q=0`,
      `${PROBLEM}; q=0.000`,
      `${PROBLEM}x`,
      `x${PROBLEM}`,
      `text/x;a=${PROBLEM}`,
    ],
    ...[`application/json, ${PROBLEM};q=0`, 'text/html', ';;;,,,'],
  ];
  test.each(others)('of %p does not, and the envelope is the same to the byte', async (accept) => {
    const answer = await app.request('/nothing', { headers: { accept } });
    expect([answer.status, answer.text]).toEqual([404, refusalText('not found')]);
    expect(answer.headers.get('content-type')).toBe('application/json');
  });
});

interface Trial {
  method: string;
  path: string;
  body?: string;
  headers: Headers;
  on?: TestApp;
}

/** Each is the one before with its first fault mended, beside the refusal that comes then. */
type Steps = [Partial<Trial>, number, string][];

async function judge(trial: Trial, steps: Steps) {
  const now = { ...trial };
  for (const [mended, status, message] of steps) {
    Object.assign(now, mended);
    const { on = app, path, method, headers, body } = now;
    for (const accept of ['*/*', PROBLEM]) {
      const answer = await on.request(path, {
        method,
        headers: { ...headers, accept },
        ...(body === undefined ? {} : { body }),
      });
      const said = JSON.parse(answer.text);
      expect([answer.status, said[accept === PROBLEM ? 'detail' : 'message']]).toEqual([
        status,
        message,
      ]);
    }
  }
}

const tagFault = 'If-None-Match: must be * or a list of entity tags such as "3", "5"';

describe('of several faults the first in this order is answered, in both forms:', () => {
  test('path, method, token, size, type, headers, body, queue, key, condition', async () => {
    const id = freshWalletId();
    await app.deposit(id, 1n);
    await app.post(operationText(id, 'DEPOSIT', 1n), { 'idempotency-key': 'k' });
    const json = 'application/json';
    const { authorization } = writer.headers;
    const terms = { 'idempotency-key': 'k', 'if-match': '"7"' };
    const headers = { 'content-type': json, authorization, ...terms };
    const untyped = { 'content-type': 'text/plain', 'idempotency-key': '', 'if-match': 'x' };
    const body = operationText(id, 'WITHDRAW', 3n);
    await judge(
      {
        ...{ method: 'PUT', path: '/nothing', body: 'x'.repeat(20_000), on: full },
        headers: untyped,
      },
      [
        [{}, 404, 'not found'],
        [{ path: WALLETS }, 405, 'method not allowed'],
        [{ method: 'POST' }, 401, 'Authorization: must be Bearer and a token that is known'],
        [{ headers: { ...untyped, ...reader.headers } }, 403, TOO_LITTLE],
        [
          { headers: { ...untyped, authorization } },
          413,
          'body: must not be larger than 16384 bytes',
        ],
        [{ body: 'x' }, 415, 'Content-Type: must be application/json'],
        [
          { headers: { ...headers, 'idempotency-key': '', 'if-match': 'x', 'if-none-match': 'x' } },
          400,
          'Idempotency-Key: must be 1 to 255 printable ASCII characters',
        ],
        [
          { headers: { ...headers, 'if-match': 'x', 'if-none-match': 'x' } },
          400,
          'If-Match: must be * or a list of entity tags such as "3", "5"',
        ],
        [
          { headers: { ...headers, 'if-none-match': 'x' } },
          400,
          'If-None-Match: must be * or a list of entity tags such as "3", "5"',
        ],
        [{ headers }, 400, 'body: must be JSON'],
        [{ body: '[]' }, 400, 'body: must be a JSON object'],
        [{ body: body.replace(':3', ':0') }, 400, `amount: ${INTEGER}`],
        [{ body }, 503, 'not applied: 0 others are waiting'],
        [{ on: app }, 422, 'idempotency key was used with another request'],
        [{ headers: { ...headers, 'idempotency-key': 'new' } }, 412, 'precondition failed'],
        [{ headers: { 'content-type': json } }, 400, 'insufficient funds'],
      ],
    );
    expect(await storedBalance(id)).toBe(2n);
  });
});

describe('of several faults of a reading likewise:', () => {
  test('path, method, token, headers, id, query, queue, ledger of a balance', async () => {
    const headers = { 'if-none-match': 'x' };
    await judge({ method: 'PUT', path: `${WALLETS}/0/?version=0`, headers, on: full }, [
      [{}, 404, 'not found'],
      [{ path: `${WALLETS}/0?version=0` }, 405, 'method not allowed'],
      [{ method: 'GET' }, 401, 'Authorization: must be Bearer and a token that is known'],
      [{ headers: { ...reader.headers, ...headers } }, 400, tagFault],
      [{ headers: { ...reader.headers, 'if-none-match': '*' } }, 400, `id: ${INTEGER}`],
      [{ path: `${WALLETS}/1?version=0&at=x` }, 400, 'at: must not stand beside version'],
      [{ path: `${WALLETS}/1?version=0` }, 400, `version: ${INTEGER}`],
      [{ path: `${WALLETS}/1?version=1` }, 503, 'not applied: 0 others are waiting'],
      [{ path: `${WALLETS}/1` }, 503, 'not applied: 0 others are waiting'],
      [{ on: app, path: `${WALLETS}/${freshWalletId()}?version=1` }, 404, 'wallet not found'],
    ]);
  });

  test('path, method, token, headers, id, query, queue, ledger of a history', async () => {
    const headers = { 'if-none-match': 'x' };
    const path = (id: unknown) => `${WALLETS}/${id}/operations`;
    await judge({ method: 'POST', path: `${path(0)}/?limit=0`, headers, on: full }, [
      [{}, 404, 'not found'],
      [{ path: `${path(0)}?limit=0` }, 405, 'method not allowed'],
      [{ method: 'GET' }, 401, 'Authorization: must be Bearer and a token that is known'],
      [{ headers: { ...reader.headers, ...headers } }, 400, tagFault],
      [{ headers: { ...reader.headers, 'if-none-match': '*' } }, 400, `id: ${INTEGER}`],
      [{ path: `${path(1)}?limit=0` }, 400, 'limit: must be an integer from 1 to 1000'],
      [{ path: path(1) }, 503, 'not applied: 0 others are waiting'],
      [{ on: app, path: path(freshWalletId()) }, 404, 'wallet not found'],
    ]);
  });
});
