/**
 * The probes, with a database that answers, refuses, hangs and comes back, and while draining.
 * /livez must not care about any of it; /readyz must answer in time whatever happens.
 */
import { describe, expect, test } from 'bun:test';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, refusalText, startApp, type TestApp } from '../helpers/app.ts';
import { testDatabase } from '../helpers/database.ts';

/** A second for the database, and a fifth of one for a busy machine. */
const ANSWER_MAX_MS = 1200;

const OK = '{"success":true,"message":"","data":null}';
const AWAY = refusalText('not ready: the database does not answer');

/** Runs `use` with an app, and ends the app whatever `use` does. */
async function withApp(options: Parameters<typeof startApp>[0], use: (app: TestApp) => unknown) {
  const app = await startApp(options);
  try {
    await use(app);
  } finally {
    await app.stop();
  }
}

async function listen(onConnection: (socket: Socket) => void, port = 0) {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const stop = () => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  };
  return { port: (server.address() as { port: number }).port, stop };
}

/** A port of this machine where nothing listens. */
async function freePort(): Promise<number> {
  const { port, stop } = await listen(() => {});
  await stop();
  return port;
}

async function databaseAt(port: number) {
  const { address } = await testDatabase();
  return { ...address, host: '127.0.0.1', port };
}

/** Passes connections on to the database, which itself listens on a unix socket only. */
async function forwardToDatabase(port: number) {
  const { address } = await testDatabase();
  const path = `${address.host}/.s.PGSQL.${address.port}`;
  return listen((socket) => {
    const database = connect({ path }).on('error', () => socket.destroy());
    socket.pipe(database).pipe(socket);
    socket.on('close', () => database.destroy());
  }, port);
}

async function timed(app: TestApp, path: string): Promise<Answer> {
  const started = performance.now();
  const answer = await app.request(path);
  expect(performance.now() - started).toBeLessThan(ANSWER_MAX_MS);
  return answer;
}

function expectOk(answer: Answer): void {
  expect([answer.status, answer.text]).toEqual([200, OK]);
  expect(answer.headers.get('content-type')).toBe('application/json');
}

function expectNotReady(answer: Answer, text: string): void {
  expect([answer.status, answer.text]).toEqual([503, text]);
  expect(answer.headers.get('retry-after')).toBe('1');
  expect(answer.headers.get('content-type')).toBe('application/json');
}

test('with a database that answers, the service lives and is ready', async () => {
  await withApp({}, async (app) => {
    expectOk(await timed(app, '/livez'));
    expectOk(await timed(app, '/readyz'));
  });
});

describe('with a database that', () => {
  test('refuses connections, the service lives and is not ready', async () => {
    await withApp({ database: await databaseAt(await freePort()) }, async (app) => {
      expectNotReady(await timed(app, '/readyz'), AWAY);
      expectOk(await timed(app, '/livez'));
    });
  });

  test('accepts connections and never answers, the service lives and is not ready', async () => {
    const silent = await listen(() => {});
    await withApp({ database: await databaseAt(silent.port) }, async (app) => {
      const answers = Array.from({ length: 20 }, () => timed(app, '/readyz'));
      expectOk(await timed(app, '/livez'));
      for (const answer of await Promise.all(answers)) expectNotReady(answer, AWAY);
      await silent.stop();
    });
  });

  test('comes late, the service is ready without a restart', async () => {
    const port = await freePort();
    await withApp({ database: await databaseAt(port), flightSlots: 1 }, async (app) => {
      expectNotReady(await timed(app, '/readyz'), AWAY);
      const database = await forwardToDatabase(port);
      await expectReadySoon(app);
      await database.stop();
    });
  });

  test('goes away and comes back, the service is ready again each time', async () => {
    const port = await freePort();
    // One connection, as the probe of a worker has: another one would hide that it is broken.
    await withApp({ database: await databaseAt(port), flightSlots: 1 }, async (app) => {
      for (let round = 1; round <= 8; round += 1) {
        const database = await forwardToDatabase(port);
        await expectReadySoon(app);
        await database.stop();
        expectNotReady(await timed(app, '/readyz'), AWAY);
      }
    });
  });
});

/** Waits out one reconnection, which takes 0.15 s, and no more than a second. */
async function expectReadySoon(app: TestApp): Promise<void> {
  const deadline = Date.now() + 1000;
  while (Date.now() < deadline && (await app.request('/readyz')).status !== 200) await sleep(20);
  expectOk(await timed(app, '/readyz'));
}

test('while draining, the service lives and is not ready', async () => {
  await withApp({}, async (app) => {
    expectOk(await timed(app, '/readyz'));
    const drained = app.server.drain(2000);
    expectNotReady(await timed(app, '/readyz'), refusalText('not ready: draining'));
    expectOk(await timed(app, '/livez'));
    await drained;
  });
});
