/**
 * The past of a wallet: pages of its operations, and its balance at a version or a time. What is
 * answered is compared with what was posted, or with a journal that was written by SQL.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { connect } from '../../src/database/connection.ts';
import { migrate } from '../../src/database/migrations.ts';
import {
  operationText,
  refusalText,
  startApp,
  successText,
  type TestApp,
  WALLETS,
} from '../helpers/app.ts';
import { emptyDatabase, freshWalletId, sqlFolder, testDatabase } from '../helpers/database.ts';

const MAX = 9223372036854775807n;
const NO_VERSION = refusalText('version not found');
const integerFault = (name: string, greatest = MAX) =>
  `${name}: must be an integer from 1 to ${greatest}`;
const TIME_FAULT = refusalText('at: must be a time such as 2026-01-31T23:59:59.999Z (RFC 3339)');

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.stop());

interface Entry {
  version: number;
  operationType: string;
  amount: number;
  balance: number;
  createdAt: string;
  idempotencyKey?: string;
}

const history = (id: bigint, query = '') => app.request(`${WALLETS}/${id}/operations${query}`);

async function page(id: bigint, query = ''): Promise<{ operations: Entry[]; next: number | null }> {
  const { status, text } = await history(id, query);
  expect(status).toBe(200);
  return JSON.parse(text).data;
}

/** The versions of a page, and its `next`. */
async function versions(id: bigint, query = '') {
  const { operations, next } = await page(id, query);
  return { versions: operations.map(({ version }) => version), next };
}

/** From the greater down to the smaller, both included. */
const countdown = (from: number, to: number) =>
  Array.from({ length: from - to + 1 }, (_, at) => from - at);

/** A wallet whose deposits of 1 were made at these times, without the service. */
async function walletOf(times: string[]): Promise<bigint> {
  const [{ sql }, id] = [await testDatabase(), freshWalletId()];
  await sql`
    insert into operations (wallet_id, version, type, amount, balance, created_at)
    select ${id}, place, 'DEPOSIT', 1, place, time::timestamptz
    from unnest(${`{${times.join()}}`}::text[]) with ordinality as given (time, place)`;
  await sql`
    insert into wallets (id, amount, version, changed_at)
    values (${id}, ${times.length}, ${times.length}, ${times.at(-1) ?? ''}::text::timestamptz)`;
  return id;
}

/** A wallet of so many deposits of 1, a second apart. */
const walletAt = (count: number) =>
  walletOf(
    Array.from({ length: count }, (_, at) => new Date(at * 1000 + 1_700_000_000_000).toISOString()),
  );

describe('a page', () => {
  test('has each operation that was applied, newest first, and none that was refused', async () => {
    const id = freshWalletId();
    const began = Date.now();
    await app.deposit(id, 42n);
    await app.withdraw(id, 43n);
    const key = { 'idempotency-key': '"a\\"b"' };
    await app.post(operationText(id, 'WITHDRAW', 2n), key);
    await app.post(operationText(id, 'WITHDRAW', 2n), key);
    await app.post(operationText(id, 'DEPOSIT', 1n), { 'if-match': '"1"' });
    await app.deposit(id, 1n);
    const { operations, next } = await page(id);
    const times = operations.map(({ createdAt }) => createdAt);
    expect([operations, next] as unknown).toEqual([
      [
        { version: 3, operationType: 'DEPOSIT', amount: 1, balance: 41, createdAt: times[0] },
        {
          ...{ version: 2, operationType: 'WITHDRAW', amount: 2, balance: 40 },
          ...{ createdAt: times[1], idempotencyKey: 'a"b' },
        },
        { version: 1, operationType: 'DEPOSIT', amount: 42, balance: 42, createdAt: times[2] },
      ],
      null,
    ]);
    for (const time of times) expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    expect(times).toEqual(times.toSorted().reverse());
    const clock = times.map((time) => Date.parse(time));
    expect(Math.min(...clock)).toBeGreaterThanOrEqual(began);
    expect(Math.max(...clock)).toBeLessThanOrEqual(Date.now());
  });

  test('is the envelope with its fields in order, its integers exact', async () => {
    const id = freshWalletId();
    await app.deposit(id, MAX);
    const [entry] = (await page(id)).operations;
    const { text, headers } = await history(id);
    expect(headers.get('content-type')).toBe('application/json');
    expect(text).toBe(
      `{"success":true,"message":"","data":{"operations":[{"version":1,"operationType":"DEPOSIT",` +
        `"amount":${MAX},"balance":${MAX},"createdAt":"${entry?.createdAt}"}],"next":null}}`,
    );
  });

  test('has a time in UTC to the microsecond, whatever was stored', async () => {
    const id = await walletOf(['2026-03-29T01:30:00.000001+02:00', '2026-03-29T01:30:00Z']);
    const { operations } = await page(id);
    const times = operations.map(({ createdAt }) => createdAt);
    expect(times).toEqual(['2026-03-29T01:30:00.000000Z', '2026-03-28T23:30:00.000001Z']);
  });

  test('has 50 operations, or as many as its limit from 1 to 1000', async () => {
    const id = await walletAt(1001);
    expect(await versions(id)).toEqual({ versions: countdown(1001, 952), next: 952 });
    for (const limit of [1, 2, 49, 51, 999, 1000]) {
      const lowest = 1001 - limit + 1;
      const expected = { versions: countdown(1001, lowest), next: lowest };
      expect(await versions(id, `?limit=${limit}`)).toEqual(expected);
    }
    const answer = await history(id, '?limit=1001');
    expect([answer.status, answer.text]).toEqual([400, refusalText(integerFault('limit', 1000n))]);
  });
});

describe('of many pages one', () => {
  test('has only what is before a version, and no next behind the first operation', async () => {
    const id = await walletAt(5);
    const expected: [string, number[], number | null][] = [
      ['?before=6', [5, 4, 3, 2, 1], null],
      [`?before=${MAX}`, [5, 4, 3, 2, 1], null],
      ['?limit=5', [5, 4, 3, 2, 1], null],
      ['?limit=4', [5, 4, 3, 2], 2],
      ['?before=5&limit=1', [4], 4],
      ['?limit=2&before=3', [2, 1], null],
      ['?limit=1&before=3', [2], 2],
      ['?before=2', [1], null],
      ['?before=1', [], null],
    ];
    for (const [query, found, next] of expected) {
      expect([query, await versions(id, query)]).toEqual([query, { versions: found, next }]);
    }
  });

  test('leads to the next, without a gap or a repetition, while operations come in', async () => {
    const id = await walletAt(23);
    const seen: number[] = [];
    let next: number | null = 24;
    while (next !== null) {
      const found: Awaited<ReturnType<typeof versions>> = await versions(
        id,
        `?limit=7&before=${next}`,
      );
      seen.push(...found.versions);
      next = found.next;
      await app.deposit(id, 1n);
    }
    expect(seen).toEqual(countdown(23, 1));
    expect((await versions(id)).versions[0]).toBe(27);
  });

  test('of a wallet that does not exist is 404', async () => {
    const answer = await history(freshWalletId());
    expect([answer.status, answer.text]).toEqual([404, refusalText('wallet not found')]);
  });

  test.each(['0', '01', 'x', '9223372036854775808'])('of the id %s is 400', async (id) => {
    const answer = await app.request(`${WALLETS}/${id}/operations`);
    expect([answer.status, answer.text]).toEqual([400, refusalText(integerFault('id'))]);
  });

  test('names every fault of its query, in order; unknown parameters are none', async () => {
    const id = await walletAt(2);
    const both = `${integerFault('limit', 1000n)}; ${integerFault('before')}`;
    expect((await history(id, '?before=0&limit=x')).text).toBe(refusalText(both));
    expect(await versions(id, '?page=2&Limit=x&limit[]=x')).toEqual({
      versions: [2, 1],
      next: null,
    });
  });

  test('takes the last of a repeated parameter', async () => {
    const id = await walletAt(5);
    const found = await versions(id, '?limit=x&limit=1&before=2&before=4');
    expect(found).toEqual({ versions: [3], next: 3 });
    expect((await history(id, '?limit=1&limit=x')).status).toBe(400);
  });
});

describe('a balance at a version', () => {
  test('is the one right after that operation', async () => {
    const id = freshWalletId();
    await app.deposit(id, MAX);
    await app.withdraw(id, 10n);
    await app.withdraw(id, MAX);
    await app.deposit(id, 1n);
    for (const [version, balance] of [MAX, MAX - 10n, MAX - 9n].entries()) {
      const answer = await app.request(`${WALLETS}/${id}?version=${version + 1}`);
      expect([answer.status, answer.text]).toEqual([200, successText(id, balance)]);
    }
  });

  test('above the last is 404, and of no wallet is that of the wallet', async () => {
    const id = await walletAt(2);
    for (const version of [3n, MAX]) {
      const answer = await app.request(`${WALLETS}/${id}?version=${version}`);
      expect([answer.status, answer.text]).toEqual([404, NO_VERSION]);
    }
    const none = await app.request(`${WALLETS}/${freshWalletId()}?version=1`);
    expect([none.status, none.text]).toEqual([404, refusalText('wallet not found')]);
  });

  test('takes the last of a repeated parameter, and stands alone', async () => {
    const id = await walletAt(2);
    const last = await app.request(`${WALLETS}/${id}?version=x&version=1`);
    expect(last.text).toBe(successText(id, 1n));
    const both = await app.request(`${WALLETS}/${id}?version=1&at=2026-01-01T00:00:00Z`);
    const fault = refusalText('at: must not stand beside version');
    expect([both.status, both.text]).toEqual([400, fault]);
  });
});

const at = (id: bigint, time: string) => app.request(`${WALLETS}/${id}?at=${time}`);

/** The balance, which is the version, or the status of a refusal. */
async function found(id: bigint, time: string) {
  const { status, text } = await at(id, time);
  return status === 200 ? JSON.parse(text).data.amount : status;
}

const malformed = [
  ...['', 'now', 'infinity', '0', '1769904000', '2026-01-31', '2026-01-31T23:59Z', 'T23:59:59Z'],
  ...[
    '2026-01-31T23:59:59',
    '2026-01-31 23:59:59Z',
    '2026-01-31T23:59:59.Z',
    '2026-1-31T23:59:59Z',
  ],
  ...['2026-01-31T24:00:00Z', '2026-01-31T23:60:00Z', '2026-01-31T23:59:61Z', '20260131T235959Z'],
  ...['2026-01-31T23:59:59,5Z', '2026-01-31T23:59:59%2B24:00', '2026-01-31T23:59:59%2B01:60'],
  ...['2026-01-31T23:59:59%2B0100', '2026-01-31T23:59:59%2B01', '2026-01-31T23:59:59UTC'],
  ...['2026-01-31T23:59:59ZZ', '12026-01-31T23:59:59Z', '-2026-01-31T23:59:59Z', "2026';--"],
  ...['2026-01-31T23:59:59Z%00', '2026-01-31T23:59:59Z%20', '%D9%A2026-01-31T23:59:59Z'],
  ...[
    '0001-01-01T00:00:00%2B00:01',
    '9999-12-31T23:59:59-00:01',
    '2026-01-31T23:59:59%E2%88%9201:00',
  ],
];
describe('a balance at a time', () => {
  test('is that after the last operation not later, to the microsecond', async () => {
    const id = await walletOf([
      '2026-01-31T23:59:59.000001Z',
      '2026-01-31T23:59:59.000002Z',
      '2026-01-31T23:59:59.000002Z',
      '2026-02-01T00:00:00Z',
    ]);
    const expected = [
      ['0001-01-01T00:00:00Z', 404],
      ['2026-01-31T23:59:59Z', 404],
      ['2026-01-31T23:59:59.000000999Z', 404],
      ['2026-01-31T23:59:59.000001Z', 1],
      ['2026-01-31T23:59:59.0000019999999999999999Z', 1],
      ['2026-01-31T23:59:59.000002Z', 3],
      ['2026-01-31T23:59:59.00001Z', 3],
      ['2026-01-31T23:59:59.9999999Z', 3],
      ['2026-02-01T00:00:00Z', 4],
      ['2026-02-01T00:00:00.0Z', 4],
      ['9999-12-31T23:59:59.999999Z', 4],
    ] as const;
    for (const [time, balance] of expected) {
      expect([time, await found(id, time)]).toEqual([time, balance]);
    }
    expect((await at(id, '0001-01-01T00:00:00Z')).text).toBe(NO_VERSION);
  });

  test('finds every operation by the time that the history has for it', async () => {
    const id = freshWalletId();
    for (let version = 1; version <= 12; version += 1) await app.deposit(id, 1n);
    for (const { version, createdAt } of (await page(id)).operations) {
      expect([version, await found(id, createdAt)]).toEqual([version, version]);
    }
  });

  test('of each of many operations is found wherever it lies', async () => {
    const id = await walletAt(70);
    for (let version = 1; version <= 70; version += 1) {
      const time = new Date((version - 1) * 1000 + 1_700_000_000_999).toISOString();
      expect(await found(id, time)).toBe(version);
    }
  });
});

describe('the time of a balance', () => {
  test('may be given at any offset; a plus may arrive as a space', async () => {
    const id = await walletOf(['2026-01-31T23:00:00Z', '2026-02-01T00:00:00Z']);
    const same = [
      ...['2026-01-31T23:00:00Z', '2026-01-31t23:00:00z', '2026-01-31T23:00:00.000000-00:00'],
      ...[
        '2026-02-01T04:30:00%2B05:30',
        '2026-02-01T04:30:00+05:30',
        '2026-02-01T04:30:00%2005:30',
      ],
      ...['2026-01-31T00:01:00-22:59', '2026-02-01T22:59:00%2B23:59', '2026-01-30T23:01:00-23:59'],
      ...['2026-01-31T23%3A00%3A00Z'],
    ];
    for (const time of same) expect([time, await found(id, time)]).toEqual([time, 1]);
    const earlier = ['2026-02-01T04:29:59.999999+05:30', '2026-01-31T00:00:59.999999-22:59'];
    for (const time of earlier) expect([time, await found(id, time)]).toEqual([time, 404]);
  });

  test('in a leap second is before the second that follows', async () => {
    const times = ['2016-12-31T23:59:59.999999Z', '2017-01-01T00:00:00Z'];
    const id = await walletOf(times);
    for (const time of [
      '2016-12-31T23:59:60Z',
      '2016-12-31T23:59:60.5Z',
      '2017-01-01T00:59:60+01:00',
    ]) {
      expect([time, await found(id, time)]).toEqual([time, 1]);
    }
    expect(await found(id, '2016-12-31T23:59:59.999998Z')).toBe(404);
    expect(await found(id, '2017-01-01T00:00:00Z')).toBe(2);
  });

  test('is a date of the calendar', async () => {
    const id = await walletAt(1);
    const real = ['2024-02-29', '2000-02-29', '2026-02-28', '2026-04-30', '2026-12-31'];
    const unreal = ['2026-02-29', '1900-02-29', '2100-02-29', '2026-02-30', '2026-04-31'];
    const absurd = ['2026-00-01', '2026-13-01', '2026-01-00', '2026-01-32', '0000-01-01'];
    for (const date of real)
      expect([200, 404]).toContain((await at(id, `${date}T00:00:00Z`)).status);
    for (const date of [...unreal, ...absurd]) {
      const { status, text } = await at(id, `${date}T00:00:00Z`);
      expect([date, status, text]).toEqual([date, 400, TIME_FAULT]);
    }
  });

  test.each(malformed)('that is no time is 400: %s', async (time) => {
    const id = await walletAt(1);
    const { status, text } = await at(id, time);
    expect([status, text]).toEqual([400, TIME_FAULT]);
  });

  test('takes the last of a repeated parameter', async () => {
    const id = await walletOf(['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z']);
    expect(await found(id, 'x&at=2026-01-01T12:00:00Z')).toBe(1);
    expect(await found(id, '2026-01-01T12:00:00Z&at=x')).toBe(400);
  });

  test('of a wallet that does not exist is 404', async () => {
    const { status, text } = await at(freshWalletId(), '2026-01-01T00:00:00Z');
    expect([status, text]).toEqual([404, refusalText('wallet not found')]);
  });
});

describe('of a million operations', () => {
  const COUNT = 1_000_000;
  const ROUNDS = 150;
  const SLOWER_AT_MOST = 2;
  const timeOf = (version: number) => new Date(1_000_000_000_000 + version * 1000).toISOString();

  let long: TestApp;
  let drop: () => Promise<unknown>;
  beforeAll(async () => {
    const database = await emptyDatabase();
    const sql = connect(database, { max: 1, name: 'wallet-test' });
    await migrate(sql, sqlFolder);
    await sql`
      insert into operations (wallet_id, version, type, amount, balance, created_at)
      select 1, n, 'DEPOSIT', 1, n, to_timestamp(1000000000 + n)
      from generate_series(1, ${COUNT}::int) as n`;
    await sql`insert into wallets values (1, ${COUNT}, ${COUNT}, to_timestamp(${1e9 + COUNT}))`;
    // Times are answered in UTC wherever the database thinks it is.
    await sql.unsafe(`alter database ${database.name} set timezone to 'Asia/Kolkata'`);
    await sql.end();
    long = await startApp({ database });
    drop = async () => (await testDatabase()).sql.unsafe(`drop database ${database.name}`);
  });
  afterAll(async () => {
    await long.stop();
    await drop();
  });

  const median = (numbers: number[]) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;

  /** The median time of each request, all asked in turns so that a busy machine slows all alike. */
  async function medians(paths: string[], proof: string[]): Promise<number[]> {
    const times: number[][] = paths.map(() => []);
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [at, path] of paths.entries()) {
        const began = performance.now();
        const { text } = await long.request(`${WALLETS}/1${path}`);
        times[at]?.push(performance.now() - began);
        if (round === 0) expect(text).toContain(proof[at] ?? '');
      }
    }
    return times.map(median);
  }

  const cases: [string, string[], string[]][] = [
    [
      'pages',
      ['/operations', `/operations?before=${COUNT / 2}`, '/operations?before=51'],
      [`"version":${COUNT},`, `"version":${COUNT / 2 - 1},`, '"version":1,'],
    ],
    [
      'versions',
      [COUNT, COUNT / 2, 1].map((version) => `?version=${version}`),
      [COUNT, COUNT / 2, 1].map((version) => `"amount":${version}}`),
    ],
    [
      'times',
      [COUNT, COUNT / 2, 1].map((version) => `?at=${timeOf(version)}`),
      [COUNT, COUNT / 2, 1].map((version) => `"amount":${version}}`),
    ],
  ];
  test.each(cases)(
    'the oldest %s take at most twice as long as the newest',
    async (_name, paths, proof) => {
      const [newest = 0, middle = 0, oldest = 0] = await medians(paths, proof);
      expect(oldest).toBeLessThanOrEqual(SLOWER_AT_MOST * newest);
      expect(middle).toBeLessThanOrEqual(SLOWER_AT_MOST * newest);
    },
  );

  test('the last page ends with the first operation', async () => {
    const { text } = await long.request(`${WALLETS}/1/operations?before=51`);
    const { operations, next } = JSON.parse(text).data as { operations: Entry[]; next: null };
    expect([operations.map(({ version }) => version), next]).toEqual([countdown(50, 1), null]);
    const time = timeOf(1).replace('.000Z', '.000000Z');
    expect(operations.at(-1)?.createdAt).toBe(time);
  });
});
