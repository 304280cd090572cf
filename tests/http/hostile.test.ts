/**
 * Hostile input over raw sockets: whatever comes, the service answers 4xx in the envelope or closes
 * the connection, moves no money, logs no error and goes on serving.
 * `dropped` is what Bun itself refuses: a bare status and the end of the connection, or its end.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { startApp, successText, type TestApp } from '../helpers/app.ts';
import { freshWalletId, storedBalance, testDatabase } from '../helpers/database.ts';
import { recordingLogger } from '../helpers/logger.ts';

/** What to send, or what else to do with the socket. */
type Piece = string | Uint8Array | ((socket: Socket) => unknown);

const ANSWER_MAX_MS = 3000;
const TIMEOUT_MS = 500;

const { logger, lines } = recordingLogger();
let app: TestApp;
let hasty: TestApp;
beforeAll(async () => {
  app = await startApp({ logger });
  hasty = await startApp({ logger, requestTimeoutMs: TIMEOUT_MS });
});
afterAll(() => Promise.all([app.stop(), hasty.stop()]));

const pause = (milliseconds: number) => () => sleep(milliseconds);
const halfClose = (socket: Socket) => void socket.end();
const vanish = (socket: Socket) => void socket.destroy();

/** Sends the pieces and collects all answers until the service closes, or for ANSWER_MAX_MS. */
function converse({ port }: TestApp, pieces: Piece[]) {
  const { promise, resolve } = Promise.withResolvers<{ text: string; closed: boolean }>();
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  let text = '';
  const finish = (closed: boolean) => {
    clearTimeout(timer);
    socket.destroy();
    resolve({ text, closed });
  };
  const timer = setTimeout(finish, ANSWER_MAX_MS, false);
  socket.on('data', (data) => {
    text += data;
  });
  for (const end of ['end', 'error', 'close']) socket.on(end, () => finish(true));
  socket.on('connect', async () => {
    for (const piece of pieces) {
      if (typeof piece === 'function') await piece(socket);
      else if (socket.writable) socket.write(piece);
    }
  });
  return promise;
}

/** Each answer as its status and, where it has a body, its envelope's message. */
function answersIn(text: string): string[] {
  const answers = text.split(/(?=HTTP\/1\.1 \d{3} )/).filter(Boolean);
  return answers.map((answer) => {
    const body = answer.slice(answer.indexOf('\r\n\r\n') + 4);
    return [answer.slice(9, 12), ...(body ? [JSON.parse(body).message] : [])].join(' ');
  });
}

/** Sends what `pieces` makes of a valid body: it must be closed, have no effect, and do no harm. */
async function attack(target: TestApp, pieces: (body: string) => Piece[]): Promise<string[]> {
  const id = freshWalletId();
  await app.deposit(id, 100n);
  const body = `{"walletID":${id},"operationType":"DEPOSIT","amount":5}`;
  const { text, closed } = await converse(target, pieces(body));
  expect(closed).toBe(true);
  expect(await storedBalance(id)).toBe(100n);
  expect((await target.deposit(id, 1n)).text).toBe(successText(id, 101n));
  return answersIn(text);
}

const HEAD =
  'POST /api/v1/wallets HTTP/1.1\r\nHost: wallet.test\r\nConnection: close\r\n' +
  'Content-Type: application/json\r\n';
const length = (bytes: number) => `${HEAD}Content-Length: ${bytes}\r\n\r\n`;
const whole = (body: string | Uint8Array) => [length(Buffer.byteLength(body)), body];
const CHUNKED = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`;
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;

const deposit = (body: string) => whole(body).join('');
const depositInChunks = (body: string) => `${CHUNKED}${chunk(body)}0\r\n\r\n`;
const depositTo = (host: string) => (body: string) => deposit(body).replace('wallet.test', host);

function expectDropped(answers: string[]): void {
  expect(answers.length).toBeLessThanOrEqual(1);
  for (const answer of answers) expect(answer).toMatch(/^(4\d\d|505)$/);
}

describe('a body that is not JSON is refused:', () => {
  const flaws: [string, (body: string) => string | Uint8Array][] = [
    ['a missing brace', (body) => body.slice(0, -1)],
    ['a trailing comma', (body) => body.replace('}', ',}')],
    ['single quotes', (body) => body.replaceAll('"', "'")],
    ['a name without quotes', (body) => body.replace('"amount"', 'amount')],
    ['a comment', (body) => `${body}// paid`],
    ['a second value', (body) => body + body],
    ['a leading zero', (body) => body.replace(':5}', ':05}')],
    ['a plus sign', (body) => body.replace(':5}', ':+5}')],
    ['a hexadecimal number', (body) => body.replace(':5}', ':0x5}')],
    ['a number that is none', (body) => body.replace(':5}', ':5,"a":NaN}')],
    ['a line break in a string', (body) => body.replace('}', ',"a":"\n"}')],
    ['an unknown escape', (body) => body.replace('}', ',"a":"\\x41"}')],
    ['a NUL byte', (body) => body.replace('}', '\0}')],
    ['a byte that is not UTF-8', (body) => Buffer.from(body.replace('wallet', '\xff'), 'latin1')],
    ['a surrogate in UTF-8', (body) => Buffer.from(`"\xed\xa0\x80"${body}`, 'latin1')],
    ['UTF-16', (body) => Buffer.from(body, 'utf16le')],
    ['8000 open arrays', () => '['.repeat(8000)],
    ['3000 open objects', () => '{"a":'.repeat(3000)],
    ['8000 open arrays behind a long number', (body) => body.slice(0, -1) + ',['.repeat(8000)],
  ];
  test.each(flaws)('%s', async (_name, flaw) => {
    const answers = await attack(app, (body) => whole(flaw(body)));
    expect(answers).toEqual(['400 body: must be JSON']);
  });
});

describe('a body that asks for much work is refused for what is wrong with it:', () => {
  const RULE = '400 amount: must be an integer from 1 to 9223372036854775807';
  const nested = (depth: number, inner: string) => '['.repeat(depth) + inner + ']'.repeat(depth);
  const bodies: [string, string, string][] = [
    ['16000 digits', `:${'5'.repeat(16_000)}}`, RULE],
    ['16000 digits after the point', `:5.${'0'.repeat(16_000)}}`, RULE],
    ['a fraction 1000 arrays deep', `:0,"more":${nested(1000, '1.5')}}`, RULE],
    ['3000 fractions', `:0,"more":[${'1.5,'.repeat(3000)}1]}`, RULE],
    // So deep that the engine gives up; that it is JSON does not help it.
    ['a fraction 8000 arrays deep', `:0,"more":${nested(8000, '1.5')}}`, '400 '],
  ];
  test.each(bodies)('%s', async (_name, end, refusal) => {
    const [answer] = await attack(app, (body) => whole(body.replace(':5}', end)));
    expect(answer).toStartWith(refusal);
  });
});

describe('a body that is not what was announced is refused:', () => {
  const TOO_LARGE = ['413 body: must not be larger than 16384 bytes'];
  test('17000 bytes announced', async () => {
    expect(await attack(app, (body) => [length(17_000), body])).toEqual(TOO_LARGE);
  });

  test('20000 bytes in chunks without an end', async () => {
    const endless = CHUNKED + chunk('x'.repeat(4000)).repeat(5);
    expect(await attack(app, () => [endless])).toEqual(TOO_LARGE);
  });

  test('more than 1 MiB, with the bare 413 of Bun', async () => {
    expect(await attack(app, (body) => [length(1_048_577), body])).toEqual(['413']);
    expectDropped(await attack(app, () => [length(1_048_577), 'x'.repeat(1_048_577)]));
  });

  test('fewer bytes announced than sent, and the rest is no request', async () => {
    const [answer, ...others] = await attack(app, (body) => [length(10), body]);
    expect(answer).toBe('400 body: must be JSON');
    expect(others).not.toContain('200');
  });
});

describe('a slow sender is answered 408 in time:', () => {
  const drip = (text: string) => [...text].flatMap((letter) => [letter, pause(15)]);
  const slow: [string, (body: string) => Piece[]][] = [
    ['a body that stops', (body) => [length(body.length), body.slice(0, 10)]],
    ['chunks that stop', (body) => [CHUNKED, chunk(body)]],
    ['a body that drips', (body) => [length(body.length), ...drip(body)]],
  ];
  test.each(slow)('%s', async (_name, pieces) => {
    const started = performance.now();
    const answers = await attack(hasty, pieces);
    expect(answers).toEqual(['408 body: did not arrive in time']);
    expect(performance.now() - started).toBeWithin(TIMEOUT_MS, 4 * TIMEOUT_MS);
  });

  test('headers that drip, answered when they are whole, keep nobody else waiting', async () => {
    const pieces = drip('GET /livez HTTP/1.1\r\nHost: wallet.test\r\nConnection: close\r\n\r\n');
    const drips = Array.from({ length: 50 }, () => converse(app, pieces));
    await sleep(100);
    expect(await attack(app, (body) => [length(10), body])).toContain('400 body: must be JSON');
    for (const { text } of await Promise.all(drips)) expect(answersIn(text)).toEqual(['200 ']);
  });
});

/** What makes an attack out of a request is only its flaw. */
async function expectAccepted(request: (body: string) => string): Promise<void> {
  const id = freshWalletId();
  const body = `{"walletID":${id},"operationType":"DEPOSIT","amount":5}`;
  expect(answersIn((await converse(app, [request(body)])).text)).toEqual(['200 ']);
  expect(await storedBalance(id)).toBe(5n);
}

describe('a request without a flaw is accepted:', () => {
  const old = (body: string) => deposit(body).replace('HTTP/1.1', 'HTTP/1.0');
  const twice = (body: string) => deposit(body).replace(/(Content-Length.*\r\n)/, '$1$1');
  test('with a length', () => expectAccepted(deposit));
  test('in chunks', () => expectAccepted(depositInChunks));
  test('with two equal lengths', () => expectAccepted(twice));
  test('of HTTP/1.0', () => expectAccepted(old));
  test('of HTTP/1.0 without a host', () => {
    return expectAccepted((body) => old(body).replace('Host: wallet.test\r\n', ''));
  });
  test('to an empty host', () => expectAccepted(depositTo('')));
  test.each(['a', 'app', '127.0.0.1:8192', '[::1]:8192'])('to the host %s', (host) => {
    return expectAccepted(depositTo(host));
  });
});

describe('a request is dropped before it is read for', () => {
  const flaws: [string, (valid: string) => string][] = [
    ['garbage before it', (valid) => `hello\r\n${valid}`],
    ['a TLS greeting', () => '\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n'],
    ['an unknown method', (valid) => valid.replace('POST', 'BREW')],
    ['a method in lower case', (valid) => valid.replace('POST', 'post')],
    ['a path without a slash', (valid) => valid.replace(' /api', ' api')],
    ['a NUL byte in the path', (valid) => valid.replace('wallets ', 'wallets\0 ')],
    ['a URL of 100 kB', (valid) => valid.replace('wallets', `wallets?${'x'.repeat(100_000)}`)],
    ['no version of HTTP', (valid) => valid.replace(' HTTP/1.1', '')],
    ['HTTP/2', (valid) => valid.replace('HTTP/1.1', 'HTTP/2.0')],
    ['lines without a carriage return', (valid) => valid.replaceAll('\r', '')],
    ['no host', (valid) => valid.replace('Host: wallet.test\r\n', '')],
    ['a NUL byte in a header', (valid) => valid.replace('wallet.test', 'wallet\0.test')],
    ['a space behind the name of a header', (valid) => valid.replace('Length:', 'Length :')],
    ['a folded header', (valid) => valid.replace('wallet.test', 'wallet.test\r\n folded')],
    ['a header of 100 kB', (valid) => valid.replace('wallet.test', 'x'.repeat(100_000))],
    ['a thousand headers', (valid) => valid.replace('Host', `${'A: 1\r\n'.repeat(1000)}Host`)],
  ];
  test.each(flaws)('%s', async (_name, flaw) => {
    expectDropped(await attack(app, (body) => [flaw(deposit(body))]));
  });

  const announced = [
    ...['-$1', '+$1', '0x$1', '$1.0', '$1a', '$1, $1', '', 'many', '18446744073709551616'],
    ...['$1\r\nContent-Length: 5', '5\r\nContent-Length: $1', '$1\r\nTransfer-Encoding: chunked'],
  ];
  test.each(announced)('Content-Length: %p', async (value) => {
    const flaw = (valid: string) => valid.replace(/(?<=Content-Length: )(\d+)/, value);
    expectDropped(await attack(app, (body) => [flaw(deposit(body))]));
  });

  test.each(['gzip', 'identity', 'chunked, chunked', 'xchunked', 'chunked\r\nContent-Length: 5'])(
    'Transfer-Encoding: %p',
    async (value) => {
      const flaw = (valid: string) => valid.replace('chunked', value);
      expectDropped(await attack(app, (body) => [flaw(depositInChunks(body))]));
    },
  );

  test.each(['x', '-1', 'ffffffffffffffff', '5', ''])('a chunk of the size %p', async (size) => {
    const flaw = (valid: string) => valid.replace(/(?<=\r\n\r\n)\w+/, size);
    expectDropped(await attack(app, (body) => [flaw(depositInChunks(body))]));
  });
});

test.each([
  ['POST', 'TRACE', '405 method not allowed'],
  ['POST', 'CONNECT', '405 method not allowed'],
  [' /api', ' /%zz/api', '404 not found'],
  ['wallets', 'x'.repeat(12_000), '404 not found'],
])('a request whose %s is another is refused in the envelope', async (part, other, refusal) => {
  expect(await attack(app, (body) => [deposit(body).replace(part, other)])).toEqual([refusal]);
});

describe('a client that goes away', () => {
  /** Where, and after what was sent. */
  const places: [string, (body: string) => Piece[]][] = [
    ['the headers', () => [HEAD.slice(0, 60)]],
    ['a body', (body) => [length(body.length), body.slice(0, 10)]],
    ['a body but for its last byte', (body) => [length(body.length + 1), body]],
    ['the chunks', (body) => [CHUNKED, chunk(body)]],
    ['a broken chunk', (body) => [CHUNKED, `x${chunk(body)}`]],
    ['a body that was refused', (body) => [length(17_000), body]],
  ];

  /** Once by closing, and once by closing one direction only, as `nc -N` does. */
  async function leaveTwice(pieces: (body: string) => Piece[]): Promise<string[]> {
    const answers = await attack(app, (body) => [...pieces(body), pause(20), vanish]);
    return answers.concat(await attack(app, (body) => [...pieces(body), pause(20), halfClose]));
  }

  test.each(places)('in the middle of %s changes nothing', async (_name, pieces) => {
    for (const answer of await leaveTwice(pieces)) expect(answer).toMatch(/^(400|413)/);
  });

  test.each(places)('in the middle of %s is not logged', async (_name, pieces) => {
    const before = lines.length;
    await leaveTwice(pieces);
    await sleep(50);
    expect(lines.slice(before)).toEqual([]);
  });

  test('while its deposit is on the way finds it applied once', async () => {
    const { sql } = await testDatabase();
    const id = freshWalletId();
    await app.deposit(id, 100n);
    const before = lines.length;
    const body = `{"walletID":${id},"operationType":"DEPOSIT","amount":5}`;
    await sql.begin(async (holder) => {
      await holder`select from wallets where id = ${id} for update`;
      await converse(app, [deposit(body), pause(50), vanish]);
    });
    expect((await app.deposit(id, 1n)).text).toBe(successText(id, 106n));
    expect(lines.slice(before)).toEqual([]);
  });
});

describe('of requests sent at once', () => {
  const staying = (request: string) => request.replace('Connection: close\r\n', '');
  const get = (path: string) =>
    `GET ${path} HTTP/1.1\r\nHost: wallet.test\r\nConnection: close\r\n\r\n`;

  test('all are answered in order when none waits for the database', async () => {
    const paths = ['/livez', '/nothing', '/api/v1/wallets/0', '/livez'].map(get);
    const last = paths.pop() as string;
    const { text } = await converse(app, [...paths.map(staying), last]);
    const id = expect.stringContaining('400 id: must be');
    expect(answersIn(text)).toEqual(['200 ', '404 not found', id, '200 ']);
  });

  test('those answered are the first ones, in order, and no other answer is mixed in', async () => {
    const id = freshWalletId();
    const body = `{"walletID":${id},"operationType":"DEPOSIT","amount":1}`;
    const { text, closed } = await converse(app, [
      staying(deposit(body)).repeat(4) + deposit(body),
    ]);
    const balances = [...text.matchAll(/"amount":(\d+)/g)].map(([, amount]) => Number(amount));
    expect(balances).toEqual(balances.map((_, index) => index + 1));
    expect(closed).toBe(true);
    // What was read and not answered may still be applied, as after any lost connection.
    await sleep(100);
    expect(Number((await storedBalance(id)) ?? 0n)).toBeWithin(balances.length, 6);
  });

  test('the one behind a body too large is answered, too', async () => {
    const id = freshWalletId();
    const body = `{"walletID":${id},"operationType":"DEPOSIT","amount":1}`;
    const large = [staying(length(17_000)), 'x'.repeat(17_000)];
    const { text } = await converse(app, [...large, pause(50), deposit(body)]);
    expect(answersIn(text)).toEqual(['413 body: must not be larger than 16384 bytes', '200 ']);
    expect(await storedBalance(id)).toBe(1n);
  });
});
