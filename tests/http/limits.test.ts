/**
 * What a client may send and how long it may take, at each limit, below and above it: the limits
 * that are settings, and those of Bun, which are none. Bun's clock ticks every 4 s, so the tests
 * that wait for it do so together.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { startProxy } from '../faults/proxy.ts';
import { refusalText, startApp, successText, type TestApp, WALLETS } from '../helpers/app.ts';
import { freshWalletId, storedBalance, testDatabase } from '../helpers/database.ts';

const TICK_MS = 4000;
const IDLE_TIMEOUT_MS = 5000;
const REQUEST_TIMEOUT_MS = 1500;

/** For the head of the first request on a connection, which is no setting. */
const HEAD_TIMEOUT_MS = 10_000;

/** For a machine that has much else to do. */
const SLACK_MS = 4000;

let app: TestApp;
beforeAll(async () => {
  const limits = { bodyMaxBytes: 1024, requestTimeoutMs: REQUEST_TIMEOUT_MS };
  app = await startApp({ ...limits, idleTimeoutMs: IDLE_TIMEOUT_MS });
});
afterAll(() => app.stop());

/** A connection on which everything can be done too slowly. */
class Connection {
  received = '';
  /** How long the service kept it. */
  readonly closedAfterMs: Promise<number>;
  readonly socket: Socket;

  constructor(port: number, ...sent: string[]) {
    const opened = performance.now();
    this.socket = connect(port, '127.0.0.1').setEncoding('latin1');
    this.socket.on('data', (data) => {
      this.received += data;
    });
    this.closedAfterMs = new Promise((resolve) => {
      const closed = () => resolve(performance.now() - opened);
      this.socket.on('close', closed).on('error', closed);
    });
    for (const text of sent) this.socket.write(text);
  }

  /** Sends a letter at a time until the connection is closed. */
  async drip(text: string, pauseMs = 100): Promise<void> {
    for (const letter of text) {
      if (!this.socket.writable) return;
      this.socket.write(letter);
      await sleep(pauseMs);
    }
  }

  get status(): number {
    return Number(this.received.slice(9, 12));
  }
}

const head = (line: string, ...lines: string[]) =>
  `${[`${line} HTTP/1.1`, 'Host: wallet.test', ...lines].join('\r\n')}\r\n\r\n`;
const get = (path: string, ...lines: string[]) => head(`GET ${path}`, ...lines);
const post = (length: number, ...lines: string[]) =>
  head(
    `POST ${WALLETS}`,
    ...['Content-Type: application/json', `Content-Length: ${length}`, ...lines],
  );
const bodyOf = (id: bigint) => `{"walletID":${id},"operationType":"DEPOSIT","amount":5}`;

describe('BODY_MAX_BYTES', () => {
  const padded = (id: bigint, bytes: number) => bodyOf(id).padEnd(bytes);
  const message = 'body: must not be larger than 1024 bytes';

  test.each([1023, 1024])('lets %d bytes pass', async (bytes) => {
    const id = freshWalletId();
    expect((await app.post(padded(id, bytes))).text).toBe(successText(id, 5n));
  });

  test('refuses 1025 bytes, announced or not, by its number', async () => {
    const id = freshWalletId();
    const streamed = new Blob([padded(id, 1025)]).stream();
    for (const body of [padded(id, 1025), streamed]) {
      const headers = { 'content-type': 'application/json' };
      const answer = await app.request(WALLETS, { method: 'POST', headers, body });
      expect([answer.status, answer.text]).toEqual([413, refusalText(message)]);
    }
    expect(await storedBalance(id)).toBeUndefined();
    expect((await app.request('/swagger/json')).text).toContain(message);
  });

  test('may be all that Bun takes', async () => {
    const large = await startApp({ bodyMaxBytes: 1_048_576 });
    const id = freshWalletId();
    expect((await large.post(padded(id, 1_048_576))).text).toBe(successText(id, 5n));
    const above = await large.post(padded(id, 1_048_577));
    expect([above.status, above.text]).toEqual([413, '']);
    expect(await storedBalance(id)).toBe(5n);
    await large.stop();
  });
});

describe('the head of a request', () => {
  const close = 'Connection: close';
  const fill = (bytes: number, make: (filling: string) => string) =>
    make('x'.repeat(bytes - make('').length));

  async function statusOf(request: string): Promise<number> {
    const connection = new Connection(app.port, request);
    expect(await connection.closedAfterMs).toBeLessThan(SLACK_MS);
    return connection.status;
  }

  test.each([
    ['16383 bytes, most of them in the URL', 16_383, 200],
    ['16384 bytes, most of them in the URL', 16_384, 200],
    ['16385 bytes, most of them in the URL', 16_385, 431],
    ['100000 bytes, most of them in the URL', 100_000, 431],
  ])('of %s is answered as it should be', async (_, bytes, status) => {
    expect(await statusOf(fill(bytes, (x) => get(`/livez?${x}`, close)))).toBe(status);
  });

  test.each([
    ['16384 bytes, most of them in one header', 16_384, 200],
    ['16385 bytes, most of them in one header', 16_385, 431],
  ])('of %s is answered as it should be', async (_, bytes, status) => {
    expect(await statusOf(fill(bytes, (x) => get('/livez', close, `X: ${x}`)))).toBe(status);
  });

  test.each([
    [197, 200],
    [198, 200],
    [199, 431],
  ])('with %d headers is answered %d', async (count, status) => {
    const others = Array.from({ length: count - 2 }, () => 'X: 1');
    expect(await statusOf(get('/livez', close, ...others))).toBe(status);
  });
});

describe('a body', () => {
  test.concurrent('that takes less than REQUEST_TIMEOUT_MS is read', async () => {
    const id = freshWalletId();
    const body = bodyOf(id);
    const connection = new Connection(app.port, post(body.length, 'Connection: close'));
    await sleep(REQUEST_TIMEOUT_MS / 3);
    connection.socket.write(body);
    await connection.closedAfterMs;
    expect(connection.received).toEndWith(successText(id, 5n));
  });

  test.concurrent('that takes more is 408, and the rest of it is not read', async () => {
    const id = freshWalletId();
    const connection = new Connection(app.port, post(1024));
    const dripped = connection.drip(bodyOf(id).padEnd(1024), 50);
    const closedAfterMs = await connection.closedAfterMs;
    expect(connection.status).toBe(408);
    expect(connection.received.toLowerCase()).toContain('connection: close');
    expect(connection.received).toEndWith(refusalText('body: did not arrive in time'));
    expect(closedAfterMs).toBeWithin(REQUEST_TIMEOUT_MS, REQUEST_TIMEOUT_MS + SLACK_MS);
    await dripped;
    expect(await storedBalance(id)).toBeUndefined();
  });
});

describe('a connection', () => {
  /** The clock may have ticked the moment before, and a busy machine's ticks are late. */
  const expectClosed = async ({ closedAfterMs }: Connection, timeoutMs: number) => {
    const ticks = Math.ceil(timeoutMs / TICK_MS);
    const [min, max] = [(ticks - 1) * TICK_MS - 1000, ticks * TICK_MS + SLACK_MS];
    expect(await closedAfterMs).toBeWithin(min, max);
  };

  test.concurrent('that is silent is kept below IDLE_TIMEOUT_MS, and closed above', async () => {
    const connection = new Connection(app.port, get('/livez'));
    await sleep(IDLE_TIMEOUT_MS - TICK_MS);
    connection.socket.write(get('/nothing'));
    await expectClosed(connection, IDLE_TIMEOUT_MS);
    expect(connection.received.match(/HTTP\/1\.1 \d{3}/g)).toEqual([
      'HTTP/1.1 200',
      'HTTP/1.1 404',
    ]);
  });

  test.concurrent('that sends its next head slowly is closed', async () => {
    const connection = new Connection(app.port, get('/livez'));
    await sleep(100);
    void connection.drip(get('/livez', `X: ${'x'.repeat(1000)}`));
    await expectClosed(connection, IDLE_TIMEOUT_MS);
  });

  test.concurrent('that sends the body of a refused request slowly is closed', async () => {
    const connection = new Connection(app.port, post(20_000));
    void connection.drip('x'.repeat(1000));
    await expectClosed(connection, IDLE_TIMEOUT_MS);
    expect(connection.status).toBe(413);
  });

  test.concurrent('that does not take its answer is closed', async () => {
    const connection = new Connection(app.port, get('/swagger/swagger-ui-bundle.js'));
    connection.socket.pause();
    await sleep(Math.ceil(IDLE_TIMEOUT_MS / TICK_MS) * TICK_MS + SLACK_MS);
    // Without a pause again, what is left of it arrives, and then its end.
    connection.socket.resume();
    const resumed = performance.now();
    await connection.closedAfterMs;
    expect(performance.now() - resumed).toBeLessThan(TICK_MS);
  });

  test.concurrent('that never comes to the end of its first head is closed', async () => {
    const [silent, half, slow] = ['', 'GET /livez HTTP/1.1\r\nHost', ''].map(
      (text) => new Connection(app.port, ...(text ? [text] : [])),
    ) as [Connection, Connection, Connection];
    void slow.drip(get('/livez', `X: ${'x'.repeat(1000)}`));
    for (const one of [silent, half, slow]) {
      await expectClosed(one, HEAD_TIMEOUT_MS);
      expect(one.received).toBe('');
    }
  });
});

test.concurrent('a request that waits is never cut before its own deadline', async () => {
  const proxy = await startProxy((await testDatabase()).address);
  // The nearest to each other that src/config.ts lets them be.
  const limits = { requestTimeoutMs: 3000, idleTimeoutMs: 8000, attemptTimeoutMs: 20_000 };
  const waiting = await startApp({ ...limits, database: proxy.address });
  const id = freshWalletId();
  await waiting.deposit(id, 1n);
  await waiting.balance(id);
  proxy.freeze();
  const close = 'Connection: close';
  // At every moment of the clock.
  const read = async (at: number) => {
    await sleep(at * 500);
    return new Connection(waiting.port, get(`${WALLETS}/${id}`, close));
  };
  // Its body takes its time as well, which together is more than IDLE_TIMEOUT_MS may be.
  const write = async () => {
    const body = bodyOf(id);
    const slow = new Connection(waiting.port, post(body.length, close));
    await sleep(limits.requestTimeoutMs * 0.7);
    slow.socket.write(body);
    return slow;
  };
  const all = await Promise.all([write(), ...Array.from({ length: 8 }, (_, at) => read(at))]);
  for (const connection of all) {
    await connection.closedAfterMs;
    expect(connection.status).toBe(503);
  }
  proxy.thaw();
  await waiting.stop();
  await proxy.stop();
});
