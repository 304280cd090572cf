/**
 * The ledger over HTTP with many callers at once: through one application, through several that
 * share a database as the workers of a service do, and beyond what it is allowed to queue.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import fc from 'fast-check';
import type { Sql } from '../../src/database/connection.ts';
import type { Operation } from '../../src/ledger/ledger.ts';
import { type Answer, refusalText, startApp, successText, type TestApp } from '../helpers/app.ts';
import { Callers, postOperation, readBalance, uniqueAmount } from '../helpers/callers.ts';
import { freshWalletId, storedBalance, testDatabase } from '../helpers/database.ts';
import { type CallAnswer, historyFaults, type Post, type Read } from '../helpers/history.ts';
import { HttpClient } from '../helpers/http-client.ts';
import { auditFaults, readJournals } from '../helpers/journal.ts';
import { until } from '../helpers/service.ts';

setDefaultTimeout(30_000);

const APPS = 3;

let sql: Sql;
let apps: TestApp[];
let app: TestApp;
beforeAll(async () => {
  sql = (await testDatabase()).sql;
  apps = await Promise.all(Array.from({ length: APPS }, () => startApp()));
  [app] = apps as [TestApp];
});
afterAll(() => Promise.all(apps.map((one) => one.stop())));

/** One for each application. */
const openClients = () => apps.map(({ url }) => new HttpClient(url));
const times = <Item>(count: number, make: (at: number) => Item) =>
  Array.from({ length: count }, (_, at) => make(at));

/** 0 when there was no wallet yet; anything else is no answer. */
function balanceOf(answer: CallAnswer): bigint {
  if (answer.kind !== 'ok' && answer.kind !== 'no_wallet') throw new Error(answer.kind);
  return answer.kind === 'ok' ? answer.balance : 0n;
}

describe('five hundred operations at once on one wallet', () => {
  test('are each answered as if they came one by one', async () => {
    const walletId = freshWalletId();
    const first = await postOperation(new HttpClient(app.url), {
      walletId,
      type: 'DEPOSIT',
      amount: uniqueAmount(),
    });
    const others = await Promise.all(
      times(500, (at) => {
        const type = at % 2 === 0 ? 'DEPOSIT' : 'WITHDRAW';
        // The withdrawals together take more than there is.
        const amount = type === 'DEPOSIT' ? uniqueAmount() : 1000n + uniqueAmount();
        return postOperation(new HttpClient(app.url), { walletId, type, amount });
      }),
    );
    const posts = [first, ...others];
    expect(await historyFaults(sql, posts)).toEqual([]);
    const accepted = posts.filter(({ answer }) => answer.kind === 'ok');
    expect(posts.length - accepted.length).toBeGreaterThan(0);
    const sum = accepted.reduce((total, { type, amount }) => {
      return type === 'DEPOSIT' ? total + amount : total - amount;
    }, 0n);
    expect((await app.balance(walletId)).text).toBe(successText(walletId, sum));
    const journal = (await readJournals(sql, [walletId])).get(walletId) ?? [];
    const withdrawals = (all: Operation[]) => all.filter(({ type }) => type === 'WITHDRAW').length;
    expect(withdrawals(journal)).toBe(withdrawals(accepted));
  });

  test('take exactly what is there, and each tells its own balance', async () => {
    const id = freshWalletId();
    await app.deposit(id, 300n);
    const answers = await Promise.all(times(500, () => app.withdraw(id, 1n)));
    const accepted = answers.filter(({ status }) => status === 200).map(({ text }) => text);
    expect(accepted.toSorted()).toEqual(times(300, (at) => successText(id, BigInt(at))).toSorted());
    const refused = answers.filter(({ status }) => status === 400).map(({ text }) => text);
    expect(refused).toEqual(times(200, () => refusalText('insufficient funds')));
    expect(await storedBalance(id)).toBe(0n);
    expect(await auditFaults(sql, [id])).toEqual([]);
  });

  test('make a new wallet once, through whichever application they come', async () => {
    for (let round = 0; round < 5; round += 1) {
      const walletId = freshWalletId();
      const posts = await Promise.all(
        times(60, (at) => {
          const type = at % 3 === 0 ? 'WITHDRAW' : 'DEPOSIT';
          return postOperation(openClients()[at % APPS] as HttpClient, {
            walletId,
            type,
            amount: uniqueAmount(),
          });
        }),
      );
      expect(await historyFaults(sql, posts)).toEqual([]);
    }
  });
});

describe('every integer', () => {
  const large = [2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 2n, 2n ** 63n - 1n];

  test.each(large)('is exact in a deposit, a balance and a withdrawal: %p', async (amount) => {
    const id = freshWalletId();
    expect((await app.deposit(id, amount)).text).toBe(successText(id, amount));
    expect((await app.balance(id)).text).toBe(successText(id, amount));
    expect((await app.withdraw(id, 1n)).text).toBe(successText(id, amount - 1n));
    expect((await app.balance(id)).text).toBe(successText(id, amount - 1n));
    expect((await app.withdraw(id, amount)).text).toBe(refusalText('insufficient funds'));
    expect((await app.withdraw(id, amount - 1n)).text).toBe(successText(id, 0n));
    expect(await auditFaults(sql, [id])).toEqual([]);
  });

  test('is exact beside others in one batch', async () => {
    const ids = large.map(freshWalletId);
    const both = await Promise.all(
      large.flatMap((amount, at) => [app.deposit(ids[at] ?? 0n, amount), app.balance(1n)]),
    );
    expect(both.filter((_, at) => at % 2 === 0).map(({ text }) => text)).toEqual(
      large.map((amount, at) => successText(ids[at] ?? 0n, amount)),
    );
  });
});

const WALLETS = 3;
const versions = fc.oneof(
  fc.constant('any' as const),
  fc.array(fc.bigInt({ min: 1n, max: 6n }), { minLength: 1, maxLength: 4 }),
);
/** What one caller does, one after the other: operations, and balances that it reads. */
const callers = fc.array(
  fc.array(
    fc.record({
      what: fc.constantFrom('DEPOSIT', 'WITHDRAW', 'READ'),
      wallet: fc.nat(WALLETS - 1),
      magnitude: fc.constantFrom(1n, 1n, 1n, 3n, 1000n),
      through: fc.nat(APPS - 1),
      // Few keys and versions, so that the callers meet.
      key: fc.option(fc.constantFrom('a', 'b', 'c'), { freq: 2, nil: undefined }),
      ifMatch: fc.option(versions, { freq: 2, nil: undefined }),
      ifNoneMatch: fc.option(versions, { freq: 2, nil: undefined }),
      hasTerms: fc.boolean(),
    }),
    { minLength: 1, maxLength: 12 },
  ),
  { minLength: 2, maxLength: 16 },
);

describe('a key that many use at once, through several applications', () => {
  test('is applied once, and all are told the same', async () => {
    for (let round = 0; round < 10; round += 1) {
      const walletId = freshWalletId();
      const balance = uniqueAmount() + 1000n;
      const [client] = openClients() as [HttpClient];
      const deposit = { walletId, type: 'DEPOSIT', amount: balance } as const;
      // In every other round nobody made the wallet before.
      const made = round % 2 === 1 ? [await postOperation(client, deposit)] : [];
      const uses = [
        { walletId, type: 'WITHDRAW', amount: balance - 1n, key: 'out' },
        { walletId, type: 'DEPOSIT', amount: balance + 1n, key: 'in' },
        { walletId, type: 'WITHDRAW', amount: balance + 2n, key: 'more' },
        { walletId, type: 'DEPOSIT', amount: balance + 3n, key: 'new', ifNoneMatch: 'any' },
      ] as const;
      const clients = times(40, (at) => openClients()[at % APPS] as HttpClient);
      const posts = await Promise.all(
        clients.map((client, at) => postOperation(client, uses[at % uses.length] as Operation)),
      );
      const isReplay = ({ answer }: Post) => 'isReplay' in answer && answer.isReplay;
      for (const use of uses) {
        const answered = posts.filter(({ key }) => key === use.key);
        expect(answered.filter(isReplay)).toHaveLength(answered.length - 1);
      }
      expect(await historyFaults(sql, [...made, ...posts])).toEqual([]);
    }
  });
});

describe('several applications on one database', () => {
  test('answer many callers as one ledger in one order, which respects real time', async () => {
    const property = fc.asyncProperty(callers, async (scripts) => {
      const ids = times(WALLETS, freshWalletId);
      const posts: Post[] = [];
      const reads: Read[] = [];
      const amounts = new Map<string, bigint>();
      /** The same for the same key, nearly always, so that it is the same operation again. */
      const amountFor = (name: string) => {
        const amount = amounts.get(name) ?? uniqueAmount();
        amounts.set(name, amount);
        return amount;
      };
      const run = async (script: (typeof scripts)[number]) => {
        const clients = openClients();
        for (const { what, wallet, magnitude, through, hasTerms, ...terms } of script) {
          const [client, walletId] = [clients[through] as HttpClient, ids[wallet] as bigint];
          if (what === 'READ') reads.push(await readBalance(client, walletId));
          else {
            const { key } = hasTerms ? terms : {};
            const unique = key ? amountFor(`${walletId} ${what} ${key}`) : uniqueAmount();
            const amount = (key ? 1n : magnitude) * 1_000_000_000n + unique;
            const operation = { walletId, type: what, amount, ...(hasTerms ? terms : {}) };
            posts.push(await postOperation(client, operation));
          }
        }
        for (const client of clients) client.close();
      };
      await Promise.all(scripts.map(run));
      expect(await historyFaults(sql, posts, reads)).toEqual([]);
    });
    await fc.assert(property, { numRuns: 30 });
  });

  test('show every operation answered before a read began, through any of them', async () => {
    const walletId = freshWalletId();
    let answered = 0n;
    let reading = true;
    const clients = openClients();
    const reader = async (at: number) => {
      const [client] = openClients().slice(at % APPS) as [HttpClient];
      let seen = 0;
      for (; reading; seen += 1) {
        const before = answered;
        const { answer } = await readBalance(client, walletId);
        expect(balanceOf(answer)).toBeGreaterThanOrEqual(before);
      }
      return seen;
    };
    const readers = times(6, reader);
    for (let round = 0; round < 100; round += 1) {
      const { answer } = await postOperation(clients[round % APPS] as HttpClient, {
        walletId,
        type: 'DEPOSIT',
        amount: uniqueAmount(),
      });
      answered = balanceOf(answer);
      const seen = await Promise.all(clients.map((client) => readBalance(client, walletId)));
      expect(seen.map(({ answer }) => balanceOf(answer))).toEqual(apps.map(() => answered));
    }
    reading = false;
    expect(Math.min(...(await Promise.all(readers)))).toBeGreaterThan(0);
  });

  test('keep a history without a fault under load', async () => {
    const load = new Callers({ urls: apps.map(({ url }) => url), count: 24 });
    await until(() => load.posts.length > 1500, '1500 answers', 20_000);
    await load.stop();
    expect(load.count('not_applied', 'outcome_unknown', 'failed', 'cut')).toBe(0);
    expect(load.count('insufficient_funds')).toBeGreaterThan(0);
    expect(await historyFaults(sql, load.posts, load.reads)).toEqual([]);
  });
});

describe('beyond its queue of five', () => {
  let small: TestApp;
  beforeAll(async () => {
    small = await startApp({ queueMax: 5, batchMax: 1, flightSlots: 1 });
  });
  afterAll(() => small.stop());

  /** The surplus, whose first answers come while the lock is still held. */
  async function expectRefusedAtOnce(surplus: Promise<Answer>[]): Promise<void> {
    for (const { status, headers, text } of await firstAnswers(surplus, 15)) {
      expect([status, headers.get('retry-after')]).toEqual([503, '1']);
      expect(text).toMatch(/^{"success":false,"message":"not applied: .+","data":null}$/);
    }
  }

  /** Holds a lock while `work` runs. */
  async function whileLocked(lock: string, work: () => Promise<void>): Promise<void> {
    await sql.begin(async (holder) => {
      await holder.unsafe(lock);
      await work();
    });
  }

  const isBlocked = (name: string) => async () => {
    const blocked = await sql`
      select from pg_stat_activity
      where application_name = ${name} and cardinality(pg_blocking_pids(pid)) > 0`;
    return blocked.length > 0;
  };

  test('an operation is refused at once and never applied', async () => {
    const id = freshWalletId();
    await small.deposit(id, 1000n);
    let accepted: Promise<Answer>[] = [];
    await whileLocked(`select from wallets where id = ${id} for update`, async () => {
      accepted = [small.deposit(id, 1n)];
      await until(isBlocked('wallet-flight'), 'the flight to wait');
      const all = times(20, () => small.deposit(id, 10n));
      await expectRefusedAtOnce(all);
      accepted.push(...all);
    });
    const statuses = (await Promise.all(accepted)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(6);
    expect(await storedBalance(id)).toBe(1051n);
    expect(await auditFaults(sql, [id])).toEqual([]);
  });

  test('a read is refused at once', async () => {
    const id = freshWalletId();
    await small.deposit(id, 7n);
    let accepted: Promise<Answer>[] = [];
    await whileLocked('lock table wallets in access exclusive mode', async () => {
      accepted = [small.balance(id)];
      await until(isBlocked('wallet-balance'), 'the read to wait');
      const all = times(20, () => small.balance(id));
      await expectRefusedAtOnce(all);
      accepted.push(...all);
    });
    const texts = (await Promise.all(accepted)).map(({ text }) => text);
    expect(texts.filter((text) => text === successText(id, 7n))).toHaveLength(6);
  });
});

/** The first answers that come, however long the others take. */
function firstAnswers(all: Promise<Answer>[], count: number): Promise<Answer[]> {
  const answers: Answer[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<Answer[]>();
  for (const one of all) {
    one.then((answer) => answers.push(answer) === count && resolve([...answers]), reject);
  }
  return promise;
}
