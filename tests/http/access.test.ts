/**
 * Who is let in: every request under /api, with every way in which a token can be missing, wrong or
 * of the wrong scope; and that a secret is nowhere but in the request.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Access } from '../../src/http/access.ts';
import { ROUTES } from '../../src/http/routes.ts';
import { operationText, refusalText, startApp, type TestApp, WALLETS } from '../helpers/app.ts';
import { freshWalletId, storedBalance } from '../helpers/database.ts';
import { recordingLogger, silentLogger } from '../helpers/logger.ts';
import { rawAnswer } from '../helpers/raw-request.ts';
import { newToken } from '../helpers/tokens.ts';

const UNAUTHORIZED = refusalText('Authorization: must be Bearer and a token that is known');
const FORBIDDEN = refusalText('Authorization: the token may read only');
const MISSING = 'Bearer realm="wallet"';
const INVALID = `${MISSING}, error="invalid_token"`;
const SCOPE = `${MISSING}, error="insufficient_scope", scope="write"`;

const [writer, reader, gone] = [
  newToken('shop', 'write'),
  newToken('reports', 'read'),
  newToken('gone', 'write'),
];
const others = Array.from({ length: 5 }, (_, at) => newToken(`other-${at}`, 'write'));
const admission = [...others.slice(2), writer, reader, ...others.slice(0, 2)].map(
  ({ token }) => token,
);

let [app, nobody] = [] as unknown as [TestApp, TestApp];
beforeAll(async () => {
  app = await startApp({ admission });
  nobody = await startApp({ admission: [] });
});
afterAll(() => Promise.all([app.stop(), nobody.stop()]));

const deposit = (id: bigint, headers: Record<string, string> = {}, on = app) =>
  on.post(operationText(id, 'DEPOSIT', 1n), headers);

const challengeOf = ({ headers }: { headers: Headers }) => headers.get('www-authenticate');

describe('a token', () => {
  test('of the scope write may deposit, withdraw and read', async () => {
    const id = freshWalletId();
    const { headers } = writer;
    expect((await deposit(id, headers)).status).toBe(200);
    const withdrawal = await app.post(operationText(id, 'WITHDRAW', 1n), headers);
    expect([withdrawal.status, challengeOf(withdrawal)]).toEqual([200, null]);
    for (const path of ['', '/operations', '?version=1']) {
      expect((await app.request(`${WALLETS}/${id}${path}`, { headers })).status).toBe(200);
    }
  });

  test('of the scope read may read; an operation with it is 403 and changes nothing', async () => {
    const id = freshWalletId();
    await deposit(id, writer.headers);
    for (const method of ['GET', 'HEAD']) {
      const { headers } = reader;
      expect((await app.request(`${WALLETS}/${id}`, { method, headers })).status).toBe(200);
    }
    const refused = await deposit(id, reader.headers);
    expect([refused.status, refused.text]).toEqual([403, FORBIDDEN]);
    expect(challengeOf(refused)).toBe(SCOPE);
    expect(await storedBalance(id)).toBe(1n);
  });

  test('that is not known is 401 and changes nothing', async () => {
    const id = freshWalletId();
    const answer = await deposit(id, gone.headers);
    expect([answer.status, answer.text, challengeOf(answer)]).toEqual([401, UNAUTHORIZED, INVALID]);
    expect(await storedBalance(id)).toBeUndefined();
  });

  test('wherever it stands among the others is found', async () => {
    for (const { headers } of [...others, writer]) {
      expect((await deposit(freshWalletId(), headers)).status).toBe(200);
    }
  });

  test('made elsewhere may have the characters of RFC 6750, 512 of them', async () => {
    const made = ['a', '-._~+/=', 'A'.repeat(512), 'A'.repeat(513), 'with space', 'é'];
    const tokens = made.map((secret, at) => newToken(`own-${at}`, 'read', secret));
    const own = await startApp({ admission: tokens.map(({ token }) => token) });
    const answers = tokens.map(({ headers }) => own.request(`${WALLETS}/0`, { headers }));
    const statuses = (await Promise.all(answers)).map(({ status }) => status);
    expect(statuses).toEqual([400, 400, 400, 401, 401, 401]);
    await own.stop();
  });

  test('is in force from when it is admitted to when it is not', async () => {
    const own = await startApp({ admission: [writer.token] });
    const statusOf = async ({ headers }: typeof writer) => {
      return (await deposit(freshWalletId(), headers, own)).status;
    };
    expect([await statusOf(writer), await statusOf(gone)]).toEqual([200, 401]);
    own.access.admit([gone.token]);
    expect([await statusOf(writer), await statusOf(gone)]).toEqual([401, 200]);
    await own.stop();
  });
});

describe('no token', () => {
  test('was admitted yet means nobody', () => {
    const access = new Access({ token() {}, unauthorized() {} }, silentLogger);
    expect(access.judge(new Request('http://localhost/'))?.status).toBe(401);
    access.admit('everybody');
    expect(access.judge(new Request('http://localhost/'))).toBeUndefined();
  });

  test('in the list means nobody', async () => {
    for (const headers of [{}, writer.headers]) {
      expect((await deposit(freshWalletId(), headers, nobody)).status).toBe(401);
    }
  });

  test('is needed where access was not restricted, and one is no harm', async () => {
    const open = await startApp();
    for (const headers of [{}, gone.headers]) {
      expect((await deposit(freshWalletId(), headers, open)).status).toBe(200);
    }
    await open.stop();
  });

  test('is 401 on every route under /api, and no matter on all others', async () => {
    const paths = Object.entries(ROUTES).map(([path, method]) => ({
      method,
      path: path.replace(':id', '1').replace(':asset', 'page.js'),
    }));
    expect(paths.filter(({ path }) => path.startsWith('/api/')).length).toBeGreaterThan(2);
    for (const { method, path } of paths) {
      const { status, headers } = await app.request(path, { method });
      const isApi = path.startsWith('/api/');
      expect([path, status === 401]).toEqual([path, isApi]);
      expect(headers.get('www-authenticate')).toBe(isApi ? MISSING : null);
    }
  });

  test('is 401 for HEAD too, without a body', async () => {
    const answer = await app.request(`${WALLETS}/1`, { method: 'HEAD' });
    expect([answer.status, answer.text, challengeOf(answer)]).toEqual([401, '', MISSING]);
  });

  test('hides neither that a path is none nor which methods it has', async () => {
    expect((await app.request('/api/nothing')).status).toBe(404);
    const wrong = await app.request(WALLETS, { method: 'DELETE' });
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'POST, OPTIONS']);
    expect((await app.request(WALLETS, { method: 'OPTIONS' })).status).toBe(204);
  });
});

describe('an Authorization header', () => {
  const { secret } = writer;
  const accepted = [
    ...[`Bearer ${secret}`, `bearer ${secret}`, `BEARER ${secret}`, `bEaReR    ${secret}`],
    ...[`  Bearer ${secret}`, `Bearer ${secret}  \t`],
  ];
  test.each(accepted)('is understood: %p', async (value) => {
    const lines = [`Authorization:${value}`];
    const id = freshWalletId();
    const body = operationText(id, 'DEPOSIT', 1n);
    const answer = await rawAnswer(app.port, { method: 'POST', path: WALLETS, lines, body });
    expect(answer.status).toBe(200);
  });

  const wrong: [string, string[], string][] = [
    ['nothing', [''], MISSING],
    ['another scheme', [`Basic ${secret}`], MISSING],
    ['a scheme that only begins so', [`Bearers ${secret}`], MISSING],
    ['no scheme', [secret], MISSING],
    ['a scheme alone', ['Bearer'], MISSING],
    ['a scheme and spaces alone', ['Bearer   '], MISSING],
    ['no space', [`Bearer${secret}`], MISSING],
    ['a tab', [`Bearer\t${secret}`], MISSING],
    ['a colon', [`Bearer: ${secret}`], MISSING],
    ['quotes', [`Bearer "${secret}"`], INVALID],
    ['a space in it', [`Bearer ${secret.slice(0, 9)} ${secret.slice(9)}`], INVALID],
    ['more behind it', [`Bearer ${secret} x`], INVALID],
    ['one character less', [`Bearer ${secret.slice(0, -1)}`], INVALID],
    ['one character more', [`Bearer ${secret}A`], INVALID],
    ['other case', [`Bearer ${secret.toUpperCase()}`], INVALID],
    ['the hash instead', [`Bearer ${writer.token.sha256}`], INVALID],
    ['another character', [`Bearer ${secret}!`], INVALID],
    ['what is not ASCII', [`Bearer ${secret}\xe9`], INVALID],
    ['two tokens', [`Bearer ${secret}, Bearer ${secret}`], INVALID],
    ['itself twice', [`Bearer ${secret}`, `Bearer ${secret}`], INVALID],
    ['two tokens in two', [`Bearer ${secret}`, `Bearer ${gone.secret}`], INVALID],
    ['15,000 characters', [`Bearer ${'A'.repeat(15_000)}`], INVALID],
    ['513 characters', [`Bearer ${'A'.repeat(513)}`], INVALID],
    ['15,000 spaces', [`Bearer${' '.repeat(15_000)}x`], INVALID],
  ];
  test.each(wrong)('with %s is 401', async (_what, values, challenge) => {
    const lines = values.map((value) => `Authorization: ${value}`);
    const id = freshWalletId();
    const body = operationText(id, 'DEPOSIT', 1n);
    const answer = await rawAnswer(app.port, { method: 'POST', path: WALLETS, lines, body });
    expect([answer.status, answer.text]).toEqual([401, UNAUTHORIZED]);
    expect(answer.head).toMatch(new RegExp(`^www-authenticate: ${challenge}\r?$`, 'im'));
    expect(await storedBalance(id)).toBeUndefined();
  });
});

test('a refusal leaves the connection in order, whatever was sent with it', async () => {
  const id = freshWalletId();
  const bodies = ['x'.repeat(500_000), operationText(id, 'DEPOSIT', 1n), ''];
  for (const body of bodies) {
    const { authorization } = gone.headers;
    const headers = { 'content-type': 'application/json', authorization };
    expect((await app.request(WALLETS, { method: 'POST', headers, body })).status).toBe(401);
    const stream = new Blob([body]).stream();
    expect((await app.request(WALLETS, { method: 'POST', headers, body: stream })).status).toBe(
      401,
    );
    expect((await deposit(id, writer.headers)).status).toBe(200);
  }
  expect(await storedBalance(id)).toBe(3n);
});

test('the meter counts by name and by reason', async () => {
  const own = await startApp({ admission: [writer.token, reader.token] });
  for (const { headers } of [writer, writer, reader, gone]) {
    await deposit(freshWalletId(), headers, own);
  }
  await deposit(freshWalletId(), {}, own);
  await own.request(`${WALLETS}/1`, { headers: reader.headers });
  await own.request('/livez', { headers: reader.headers });
  const text = await own.meter.registry.metrics();
  expect(text.match(/^wallet_(token|unauthorized)_requests_total.*$/gm)?.sort()).toEqual([
    'wallet_token_requests_total{token="reports"} 1',
    'wallet_token_requests_total{token="shop"} 2',
    'wallet_unauthorized_requests_total{reason="invalid"} 1',
    'wallet_unauthorized_requests_total{reason="missing"} 1',
    'wallet_unauthorized_requests_total{reason="scope"} 1',
  ]);
  await own.stop();
});

describe('the log', () => {
  test('names the token of the wrong scope, and the route but not what the URL holds', async () => {
    const { logger, lines } = recordingLogger();
    const own = await startApp({ admission, logger });
    const { headers } = reader;
    const path = `${WALLETS}?access_token=${gone.secret}`;
    await own.request(path, { method: 'POST', headers });
    const line = { level: 40, reason: 'scope', token: 'reports', method: 'POST', route: WALLETS };
    expect(lines).toEqual([expect.objectContaining({ ...line, msg: 'refused a request' })]);
    expect(JSON.stringify(lines)).not.toMatch(/wallet_|[0-9a-f]{64}/);
    await own.stop();
  });

  test('has at most a line a second of refusals, and counts them all', async () => {
    const { logger, lines } = recordingLogger();
    const own = await startApp({ admission, logger });
    const began = Date.now();
    let sent = 0;
    while (Date.now() - began < 1500) {
      await Promise.all(Array.from({ length: 20 }, () => own.request(`${WALLETS}/1`)));
      sent += 20;
    }
    await sleep(1100);
    const seconds = (Date.now() - began) / 1000;
    expect(lines.length).toBeGreaterThan(1);
    expect(lines.length).toBeLessThanOrEqual(Math.ceil(seconds));
    const counted = lines.map(({ leftOut }) => Number(leftOut ?? 1));
    expect(counted.reduce((sum, one) => sum + one)).toBe(sent);
    await own.stop();
  });

  test('names the token of a request that failed', async () => {
    const { logger, lines } = recordingLogger();
    const fail = () => Promise.reject(new Error('for the log only'));
    const ledger = { apply: fail, balance: fail, balanceAt: fail, operations: fail };
    const own = await startApp({ admission, logger, ledger });
    expect((await deposit(1n, writer.headers, own)).status).toBe(500);
    expect(lines).toEqual([expect.objectContaining({ token: 'shop', msg: 'request failed' })]);
    expect(JSON.stringify(lines)).not.toContain(writer.secret);
    await own.stop();
  });
});
