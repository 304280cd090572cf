/**
 * /metrics and /events of a real service of three workers: what they name, that the sums are exact,
 * and that the labels stay few.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { connect } from 'node:net';
import { version } from '../../package.json' with { type: 'json' };
import { ROUTES } from '../../src/http/routes.ts';
import { operationText, WALLETS } from '../helpers/app.ts';
import { freshWalletId } from '../helpers/database.ts';
import { HttpClient } from '../helpers/http-client.ts';
import { endServices, startService, type TestService, until } from '../helpers/service.ts';
import { metricsUrl, read, scrape, settle, sumOf } from './scrape.ts';

setDefaultTimeout(60_000);

/** A worker reports every second; a busy machine has some more. */
const REPORTED_MS = 10_000;

const WORKERS = 3;

let service: TestService;

beforeAll(async () => {
  service = await (await startService({ variables: { WORKERS: String(WORKERS) } })).listening();
});
afterAll(endServices);

/** So many deposits of 1, over so many connections at once. */
async function deposit(count: number, connections: number): Promise<void> {
  const id = freshWalletId();
  let left = count;
  const visit = async () => {
    const client = new HttpClient(`http://127.0.0.1:${service.port}`);
    while (left > 0) {
      left -= 1;
      const { status } = await client.post(WALLETS, operationText(id, 'DEPOSIT', 1n));
      expect(status).toBe(200);
    }
    client.close();
  };
  await Promise.all(Array.from({ length: connections }, visit));
}

/** Names, labels, and what their sum must be while nothing happens. */
type Promised = [string, Record<string, string>, (value: number) => boolean];

const is = (wanted: number) => (value: number) => value === wanted;
const isAbove = (least: number) => (value: number) => value > least;
const isAny = isAbove(-1);

const PROMISED: Promised[] = [
  ['wallet_operations_total', { type: 'deposit', outcome: 'ok' }, isAbove(0)],
  ['wallet_operations_total', { type: 'withdraw', outcome: 'ok' }, isAny],
  ['wallet_http_requests_total', { route: WALLETS, status: '200' }, isAbove(0)],
  ['wallet_http_request_duration_seconds_sum', { route: WALLETS }, isAbove(0)],
  ['wallet_flight_resends_total', { failure: 'lost' }, is(0)],
  ['wallet_flight_resends_total', { failure: 'refused' }, is(0)],
  ['wallet_flight_duration_seconds_sum', {}, isAbove(0)],
  ['wallet_flight_operations_bucket', { le: '1' }, isAny],
  ['wallet_flight_operations_bucket', { le: '10000' }, isAbove(0)],
  ...['operations', 'balances', 'journal'].flatMap((queue): Promised[] => [
    ['wallet_queue_length', { queue }, is(0)],
    ['wallet_queue_limit', { queue }, is(10_000 * WORKERS)],
  ]),
  ...['flights', 'balances', 'journal'].flatMap((use): Promised[] => [
    ['wallet_database_connections_open', { use }, isAny],
    ['wallet_database_connections_busy', { use }, is(0)],
    ['wallet_database_connections_limit', { use }, is(WORKERS)],
  ]),
  ['wallet_database_connections_open', { use: 'flights' }, isAbove(0)],
  ['wallet_database_up', {}, is(1)],
  ['wallet_workers', {}, is(WORKERS)],
  ['wallet_worker_deaths_total', {}, is(0)],
  ['wallet_build_info', { version, bun: Bun.version }, is(1)],
  ['wallet_start_time_seconds', {}, isAbove(Date.now() / 1000 - 600)],
  ...['supervisor', 'worker-1', 'worker-2', 'worker-3'].flatMap((process): Promised[] => [
    ['wallet_process_resident_memory_bytes', { process }, isAbove(10_000_000)],
    ['wallet_process_event_loop_lag_seconds', { process }, isAny],
    ['wallet_process_cpu_seconds_total', { process }, isAbove(0.01)],
  ]),
];

describe('/metrics', () => {
  test('has a sum that is exact, whichever worker counted', async () => {
    const [count, connections] = [6000, 120];
    const numbers = [
      ['wallet_operations_total', { type: 'deposit', outcome: 'ok' }],
      ['wallet_http_requests_total', { route: WALLETS, status: '200' }],
      ['wallet_http_request_duration_seconds_count', { route: WALLETS }],
      ['wallet_http_request_duration_seconds_bucket', { route: WALLETS, le: '+Inf' }],
      ['wallet_flight_operations_sum', {}],
    ] as const;
    const look = async () => {
      const samples = await scrape(service);
      return numbers.map(([name, labels]) => sumOf(samples, name, labels) ?? 0);
    };
    await settle(service);
    const before = await look();
    await deposit(count, connections);
    await settle(service);
    expect(await look()).toEqual(before.map((number) => number + count));
  });

  test('has every number that is promised', async () => {
    await deposit(10, 5);
    await settle(service);
    const samples = await scrape(service);
    const found = PROMISED.map(([name, labels]) => sumOf(samples, name, labels));
    const broken = PROMISED.filter(([, , holds], at) => !holds(found[at] ?? Number.NaN));
    expect(broken.map(([name, labels]) => [name, labels, sumOf(samples, name, labels)])).toEqual(
      [],
    );
  });

  test('tells 1 ms from 10 s', async () => {
    await deposit(1, 1);
    await settle(service);
    const bounds = (await scrape(service))
      .filter(({ name, labels }) => name.endsWith('seconds_bucket') && labels.route === WALLETS)
      .map(({ labels }) => Number(labels.le));
    for (const seconds of [0.001, 0.002, 0.005, 0.01, 0.1, 1, 5, 10]) {
      expect(bounds).toContain(seconds);
    }
  });

  test('is there with GET alone, beside the page, and not on the public port', async () => {
    const ask = async (path: string, method = 'GET') => {
      const { status } = await fetch(metricsUrl(service) + path, { method });
      return status;
    };
    const pages = ['/', '/metrics', '/dashboard.js', '/dashboard.css', '/uplot.js', '/uplot.css'];
    expect(await Promise.all(pages.map((path) => ask(path)))).toEqual(pages.map(() => 200));
    const others = ['/metrics/', '/favicon.ico', '/api/v1/wallets', '/livez', '/../package.json'];
    expect(await Promise.all(others.map((path) => ask(path)))).toEqual(others.map(() => 404));
    const methods = ['POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD', 'PATCH'];
    for (const path of ['/', '/metrics', '/events']) {
      const answers = await Promise.all(methods.map((method) => ask(path, method)));
      expect(answers).toEqual(methods.map(() => 405));
    }
    expect((await service.request('/metrics')).status).toBe(404);
    expect((await service.request('/events')).status).toBe(404);
  });

  test('never shows where it runs, whatever Host it is asked for', async () => {
    for (const head of ['GET / HTTP/1.1\r\nHost: [x', 'GET //[ HTTP/1.1\r\nHost:']) {
      const socket = connect(service.metricsPort, '127.0.0.1').setEncoding('latin1');
      socket.write(`${head}\r\nConnection: close\r\n\r\n`);
      const received = (await socket.toArray()).join('');
      expect(received).toMatch(/^HTTP\/1.1 (200|400|404) /);
      expect(received).not.toContain('/src/');
    }
  });
});

test('there are few series, whatever paths, methods and bodies are sent', async () => {
  const methods = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD'];
  const word = () => Math.random().toString(36).slice(2);
  const paths = [
    () => `/${word()}`,
    () => `/${word()}/${word()}?${word()}=${word()}`,
    () => `${WALLETS}/${word()}`,
    () => `${WALLETS}/${Math.floor(Math.random() * 1e9)}`,
    () => `${WALLETS}/${word()}/operations?limit=${word()}`,
    () => `/swagger/${word()}`,
    () => `/%2e%2e/${word()}"}{\\n`,
    () => WALLETS,
  ];
  const bodies = [
    () => word(),
    () => `{"walletID":1,"operationType":"${word()}","amount":1}`,
    () => operationText(freshWalletId(), 'WITHDRAW', 1n),
    () => operationText(freshWalletId(), 'DEPOSIT', 1n),
  ];
  const pick = <Item>(items: Item[]) => items[Math.floor(Math.random() * items.length)] as Item;
  const visit = async () => {
    for (let time = 0; time < 100; time += 1) {
      const method = pick(methods);
      const hasBody = !['GET', 'HEAD'].includes(method);
      await service.request(pick(paths)(), {
        method,
        headers: {
          'content-type': pick(['application/json', 'text/plain', word()]),
          'idempotency-key': pick([word(), `"${word()}"`]),
        },
        ...(hasBody ? { body: pick(bodies)() } : {}),
      });
    }
  };
  await Promise.all(Array.from({ length: 30 }, visit));
  const unknown = { route: 'unknown', status: '404' };
  const isCounted = async () =>
    ((await read(service, 'wallet_http_requests_total', unknown)) ?? 0) > 100;
  await until(isCounted, 'the requests to be counted', REPORTED_MS);
  const samples = await scrape(service);
  const values = (label: string) => new Set(samples.flatMap(({ labels }) => labels[label] ?? []));
  const routes = [...Object.keys(ROUTES), 'unknown'];
  expect([...values('route')].filter((route) => !routes.includes(route))).toEqual([]);
  expect([...values('type')].sort()).toEqual(['deposit', 'withdraw']);
  expect(values('status').size).toBeLessThan(15);
  expect(values('outcome').size).toBeLessThan(12);
  // Mostly the buckets of each route.
  expect(samples.length).toBeLessThan(450);
});

describe('/events', () => {
  test('begins with what was, goes on every second, and has room for 50', async () => {
    const controllers = Array.from({ length: 51 }, () => new AbortController());
    const open = ({ signal }: AbortController) =>
      fetch(`${metricsUrl(service)}/events`, { signal });
    const answers = [];
    for (const controller of controllers) answers.push(await open(controller));
    expect(answers.map(({ status }) => status)).toEqual([...Array(50).fill(200), 503]);
    let text = '';
    for await (const chunk of answers[0]?.body ?? []) {
      text += new TextDecoder().decode(chunk);
      if (text.split('event: pulse\n').length > 3) break;
    }
    const names = [...text.matchAll(/^event: (.*)$/gm)].map(([, name]) => name);
    expect(names.slice(0, 4)).toEqual(['service', 'history', 'pulse', 'pulse']);
    for (const controller of controllers) controller.abort();
    const hasRoom = async () => {
      const controller = new AbortController();
      const { status } = await open(controller);
      controller.abort();
      return status === 200;
    };
    await until(hasRoom, 'room for another');
  });
});
