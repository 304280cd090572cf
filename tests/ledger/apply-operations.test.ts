/**
 * The SQL function that moves the money, called directly on several connections, against the pure
 * model: alone, in concurrence, with copies and late copies of flights, and with its rows tampered.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import fc from 'fast-check';
import { connect, type Sql } from '../../src/database/connection.ts';
import { errorCode } from '../../src/database/failure.ts';
import { migrate } from '../../src/database/migrations.ts';
import { INTEGER_MAX, type Operation } from '../../src/ledger/ledger.ts';
import { emptyDatabase, freshWalletId, sqlFolder, testDatabase } from '../helpers/database.ts';
import { array, auditFaults, readJournals, readKeys } from '../helpers/journal.ts';
import { until } from '../helpers/service.ts';
import { expectedAnswers, type Flown, flownFaults, type Stored, TestSlot } from './flights.ts';
import { Books, keyName, type Outcome, type Wallet } from './model.ts';

setDefaultTimeout(30_000);

const CONNECTIONS = 10;

let sql: Sql;
beforeAll(async () => {
  const { address } = await testDatabase();
  sql = connect(address, { max: CONNECTIONS, name: 'wallet-test-flights' });
});
afterAll(() => sql.end({ timeout: 1 }));

const openSlot = (on = sql) => new TestSlot(on).register();
const freshIds = (count: number) => Array.from({ length: count }, freshWalletId);
const deposit = (walletId: bigint, amount: bigint): Operation => {
  return { walletId, type: 'DEPOSIT', amount };
};
const withdraw = (walletId: bigint, amount: bigint): Operation => {
  return { walletId, type: 'WITHDRAW', amount };
};
const ok = (balance: bigint, version: bigint) => ({ kind: 'ok' as const, balance, version });

/** Nearly all small, so that balances hover around zero; some around the limits. */
const amounts = fc.oneof(
  { weight: 8, arbitrary: fc.bigInt({ min: 1n, max: 20n }) },
  { weight: 1, arbitrary: fc.constantFrom(INTEGER_MAX, INTEGER_MAX - 1n, INTEGER_MAX / 2n) },
);

const WALLETS = 4;

/** Few, so that they come again, nearly always with the same operation; some are hard to quote. */
const usual = {
  a: { type: 'DEPOSIT', amount: 2n },
  NULL: { type: 'WITHDRAW', amount: 3n },
  '{"\\,} ': { type: 'WITHDRAW', amount: 30n },
} as const;

const versions = fc.oneof(
  fc.constant('any' as const),
  fc.array(fc.bigInt({ min: 1n, max: 6n }), { maxLength: 4 }),
);

const condition = fc.option(versions, { freq: 3, nil: undefined });

const mostly = <Value>(usual: Value, other: fc.Arbitrary<Value>) =>
  fc.oneof({ weight: 5, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other });

const wallets = fc.bigInt({ min: 0n, max: BigInt(WALLETS - 1) });
const types = fc.constantFrom('DEPOSIT' as const, 'WITHDRAW' as const);
const plain = fc.record({ walletId: wallets, type: types, amount: amounts });
const conditional = fc.oneof(
  fc.record({ walletId: wallets, type: types, amount: amounts, ifMatch: condition }),
  fc.record({ walletId: wallets, type: types, amount: amounts, ifNoneMatch: condition }),
);
const keyed = fc
  .record({
    walletId: wallets,
    key: fc.constantFrom(...(Object.keys(usual) as (keyof typeof usual)[])),
    other: mostly({}, fc.record({ type: types, amount: amounts })),
    ifMatch: mostly(undefined, versions),
    ifNoneMatch: mostly(undefined, versions),
  })
  .map(({ key, other, ...operation }) => ({ ...operation, key, ...usual[key], ...other }));

/**
 * Operations whose wallets are numbered from 0; every other flight stays with one wallet, and every
 * other has no key and no condition.
 */
const flights = fc
  .tuple(
    fc.oneof(
      fc.array<Operation>(plain, { minLength: 1, maxLength: 12 }),
      fc.array<Operation>(fc.oneof(plain, conditional, keyed, keyed, keyed), {
        minLength: 1,
        maxLength: 12,
      }),
    ),
    fc.boolean(),
  )
  .map(([flight, staysWithOne]) => {
    const walletId = flight[0]?.walletId ?? 0n;
    return staysWithOne ? flight.map((operation) => ({ ...operation, walletId })) : flight;
  });

const onWallets = (flight: Operation[], ids: bigint[]) =>
  flight.map((operation) => ({
    ...operation,
    walletId: ids[Number(operation.walletId)] as bigint,
  }));

/** The SQLSTATE that a call fails with. */
const failure = (call: Promise<unknown>) => call.then(() => 'none', errorCode);

/** Each line sends a new flight, the last one again, an older one, or one through no slot. */
const scripts = fc.array(
  fc.record({
    step: fc.constantFrom('new', 'new', 'new', 'again', 'late', 'nowhere'),
    flight: flights,
  }),
  { minLength: 1, maxLength: 12 },
);

async function storedWallets(ids: bigint[]): Promise<Map<bigint, Wallet>> {
  const rows = await sql<({ id: bigint } & Wallet)[]>`
    select id, amount as balance, version from wallets where id = any (${array(ids)}::bigint[])`;
  return new Map(rows.map(({ id, balance, version }) => [id, { balance, version }]));
}

/** What the model has of the keys, as it is stored. */
const modelKeys = ({ keys }: Books) =>
  [...keys].map(([name, { type, amount, outcome }]) => [
    name,
    `${type} ${amount} ${outcome.kind} ${outcome.balance} ${outcome.version}`,
  ]);

const storedKeys = async (ids: bigint[]) =>
  (await readKeys(sql, ids)).map(({ type, amount, balance, version, refusal, ...row }) => [
    keyName(row),
    `${type} ${amount} ${refusal ?? 'ok'} ${balance ?? undefined} ${version ?? undefined}`,
  ]);

const readStored = async (ids: bigint[]): Promise<Stored> => {
  return { journals: await readJournals(sql, ids), keys: await readKeys(sql, ids) };
};

describe('a single caller', () => {
  test('is answered, stored and journaled as the model says, whatever it repeats', async () => {
    const property = fc.asyncProperty(scripts, async (script) => {
      const ids = freshIds(WALLETS);
      const slot = await openSlot();
      const books = new Books();
      let last: Flown = { flight: [], answers: [] };
      for (const { step, flight: numbered } of script) {
        const flight = onWallets(numbered, ids);
        if (step === 'new') {
          last = { flight, answers: expectedAnswers(books, flight) };
          expect(await slot.fly(flight)).toEqual(last.answers);
        } else if (step === 'again' && slot.sequence > 0) {
          expect(await slot.send(slot.sequence, last.flight)).toEqual(last.answers);
        } else if (step === 'late') {
          expect(await failure(slot.send(slot.sequence - 1, flight))).toBe('WS002');
        } else if (step === 'nowhere') {
          expect(await failure(new TestSlot(sql).fly(flight))).toBe('WS001');
        }
      }
      expect(await storedWallets(ids)).toEqual(books.wallets);
      expect((await storedKeys(ids)).toSorted()).toEqual(modelKeys(books).toSorted());
      expect(await auditFaults(sql, ids)).toEqual([]);
    });
    await fc.assert(property, { numRuns: 100 });
  });

  test('may withdraw first and deposit then on a new wallet in one flight', async () => {
    const [id = 0n, other = 0n] = freshIds(2);
    const slot = await openSlot();
    const notFound = { kind: 'wallet_not_found' as const, balance: undefined, version: undefined };
    const flight = [withdraw(id, 1n), deposit(id, 5n), withdraw(id, 2n)];
    expect(await slot.fly(flight)).toEqual([notFound, ok(5n, 1n), ok(3n, 2n)]);
    const mixed = [withdraw(other, 1n), deposit(id, 1n), deposit(other, 5n), withdraw(other, 5n)];
    const answers = [notFound, ok(4n, 3n), ok(5n, 1n), ok(0n, 2n)];
    expect(await slot.fly(mixed)).toEqual(answers);
    expect(await auditFaults(sql, [id, other])).toEqual([]);
  });

  test.each([
    ['alone', false],
    ['beside another wallet', true],
  ])('reaches 2^63-1 and 0 and no further, %s', async (_, withOther) => {
    const [id = 0n, other = 0n] = freshIds(2);
    const slot = await openSlot();
    const beside = (flight: Operation[]) => (withOther ? [...flight, deposit(other, 1n)] : flight);
    const fly = async (...flight: Operation[]) =>
      (await slot.fly(beside(flight))).slice(0, flight.length);
    const limit = { kind: 'balance_limit' as const, version: undefined };
    const funds = { kind: 'insufficient_funds' as const, version: undefined };
    const [full, nearly] = [INTEGER_MAX, INTEGER_MAX - 1n];
    expect(await fly(deposit(id, nearly))).toEqual([ok(nearly, 1n)]);
    expect(await fly(deposit(id, 2n))).toEqual([{ ...limit, balance: nearly }]);
    expect(await fly(deposit(id, 1n), deposit(id, 1n), deposit(id, full))).toEqual([
      ok(full, 2n),
      { ...limit, balance: full },
      { ...limit, balance: full },
    ]);
    expect(await fly(withdraw(id, full), withdraw(id, 1n), deposit(id, full))).toEqual([
      ok(0n, 3n),
      { ...funds, balance: 0n },
      ok(full, 4n),
    ]);
    expect(await fly(withdraw(id, nearly), withdraw(id, 2n))).toEqual([
      ok(1n, 5n),
      { ...funds, balance: 1n },
    ]);
    expect(await auditFaults(sql, [id])).toEqual([]);
  });

  test('that is refused leaves no wallet behind', async () => {
    const [id = 0n, other = 0n] = freshIds(2);
    const slot = await openSlot();
    await slot.fly([withdraw(id, 1n)]);
    await slot.fly([withdraw(id, 1n), withdraw(other, 1n)]);
    expect(await failure(slot.send(1, [deposit(id, 1n), deposit(other, 1n)]))).toBe('WS002');
    expect(await failure(slot.fly([deposit(id, 1n), deposit(other, 0n)]))).toBe('P0001');
    expect(await sql`select id from wallets where id in (${id}, ${other})`).toHaveLength(0);
    expect(await sql`select id from wallets where version = 0`).toHaveLength(0);
  });
});

describe('a key', () => {
  const replay = (balance: bigint, version: bigint) => ({
    ...ok(balance, version),
    isReplay: true as const,
  });
  const refusal = (kind: Outcome['kind'], balance?: bigint): Outcome => {
    return { kind, balance, version: undefined };
  };

  test('is answered as at first, in one flight, in the next, and by its slot', async () => {
    const [id = 0n] = freshIds(1);
    const slot = await openSlot();
    const keyed = { ...deposit(id, 5n), key: 'k' };
    const flight = [keyed, deposit(id, 1n), keyed, { ...keyed, amount: 6n }];
    const answers = [ok(5n, 1n), ok(6n, 2n), replay(5n, 1n), refusal('key_reused', 6n)];
    expect(await slot.fly(flight)).toEqual(answers);
    expect(await slot.fly([keyed])).toEqual([replay(5n, 1n)]);
    expect(await slot.send(2, [keyed])).toEqual([replay(5n, 1n)]);
    expect(await slot.fly([{ ...keyed, type: 'WITHDRAW' }])).toEqual([refusal('key_reused', 6n)]);
    expect(await slot.fly([keyed])).toEqual([replay(5n, 1n)]);
    expect(await storedWallets([id])).toEqual(new Map([[id, { balance: 6n, version: 2n }]]));
    expect(await readKeys(sql, [id])).toHaveLength(1);
    expect(await auditFaults(sql, [id])).toEqual([]);
  });

  test('that was refused stays so, whatever the wallet has become', async () => {
    const [id = 0n] = freshIds(1);
    const slot = await openSlot();
    const early = { ...withdraw(id, 5n), key: 'early' };
    const dear = { ...withdraw(id, 9n), key: 'dear' };
    const conditional = { ...deposit(id, 1n), key: 'conditional', ifMatch: [7n] };
    const refusals = [
      refusal('wallet_not_found'),
      refusal('insufficient_funds', 5n),
      refusal('precondition_failed', 5n),
    ];
    const flight = [early, deposit(id, 5n), dear, conditional];
    expect(await slot.fly(flight)).toEqual(refusals.toSpliced(1, 0, ok(5n, 1n)));
    await slot.fly([deposit(id, 100n)]);
    // Even without the condition, or with one that fails: the key is looked at before.
    const again: Operation[] = [
      { ...early, ifMatch: [7n] },
      { ...dear, ifNoneMatch: 'any' },
      { ...conditional, ifMatch: undefined },
    ];
    expect(await slot.fly(again)).toEqual(refusals.map((one) => ({ ...one, isReplay: true })));
    expect(await storedWallets([id])).toEqual(new Map([[id, { balance: 105n, version: 2n }]]));
    expect(await auditFaults(sql, [id])).toEqual([]);
  });

  test('is of one wallet', async () => {
    const [id = 0n, other = 0n] = freshIds(2);
    const slot = await openSlot();
    const flight = [id, other].map((one) => ({ ...deposit(one, 5n), key: 'k' }));
    expect(await slot.fly(flight)).toEqual([ok(5n, 1n), ok(5n, 1n)]);
  });

  test.each([
    ['deposits', 'DEPOSIT', ok(5n, 1n)],
    ['withdrawals', 'WITHDRAW', refusal('wallet_not_found')],
  ] as const)('of a new wallet decides once among fifty %s at once', async (_, type, decision) => {
    for (let round = 0; round < 5; round += 1) {
      const [walletId = 0n] = freshIds(1);
      const slots = await Promise.all(Array.from({ length: 50 }, () => openSlot()));
      const flight: Operation[] = [{ walletId, type, amount: 5n, key: 'k' }];
      const answers = await Promise.all(slots.map((slot) => slot.fly(flight)));
      const firsts = answers.flat().filter(({ isReplay }) => !isReplay);
      expect(firsts).toEqual([decision]);
      const told = answers.flat().map(({ isReplay, ...answer }) => answer);
      expect(told).toEqual(told.map(() => decision));
      expect(await auditFaults(sql, [walletId])).toEqual([]);
    }
  });
});

describe('a condition', () => {
  const failed = (balance?: bigint): Outcome => {
    return { kind: 'precondition_failed', balance, version: undefined };
  };

  test.each([
    ['without a key', undefined],
    ['with a key', 'k'],
  ])('that refuses the first deposit leaves no wallet behind, %s', async (_, key) => {
    const [id = 0n, other = 0n] = freshIds(2);
    const slot = await openSlot();
    const refused = { ...deposit(id, 5n), key, ifMatch: 'any' as const };
    expect(await slot.fly([refused])).toEqual([failed()]);
    const twoWallets = [
      { ...refused, key: undefined },
      { ...refused, walletId: other, key },
    ];
    expect(await slot.fly(twoWallets)).toEqual([failed(), failed()]);
    expect(await storedWallets([id, other])).toEqual(new Map());
    expect(await slot.fly([deposit(id, 5n)])).toEqual([ok(5n, 1n)]);
    expect(await auditFaults(sql, [id, other])).toEqual([]);
  });

  test('is judged after the operations before it in the same flight', async () => {
    const [id = 0n] = freshIds(1);
    const slot = await openSlot();
    const flight: Operation[] = [
      { ...deposit(id, 1n), ifNoneMatch: 'any' },
      { ...deposit(id, 1n), ifNoneMatch: 'any' },
      { ...deposit(id, 1n), ifMatch: 'any' },
      { ...deposit(id, 1n), ifMatch: [1n, 3n] },
      { ...deposit(id, 1n), ifMatch: [1n, 2n] },
      { ...withdraw(id, 1n), ifNoneMatch: [3n] },
      { ...withdraw(id, 1n), ifNoneMatch: [2n] },
      { ...deposit(id, 1n), ifMatch: [] },
      { ...deposit(id, 1n), ifNoneMatch: [] },
      { ...withdraw(id, 99n), ifMatch: [2n] },
    ];
    expect(await slot.fly(flight)).toEqual([
      ok(1n, 1n),
      failed(1n),
      ok(2n, 2n),
      failed(2n),
      ok(3n, 3n),
      failed(3n),
      ok(2n, 4n),
      failed(2n),
      ok(3n, 5n),
      failed(3n),
    ]);
    expect(await auditFaults(sql, [id])).toEqual([]);
  });
});

describe('many callers', () => {
  /** What each caller sends, one after the other; each flight as some copies at once. */
  const crowds = fc.array(
    fc.array(fc.record({ flight: flights, copies: fc.constantFrom(1, 1, 2, 3) }), {
      minLength: 1,
      maxLength: 8,
    }),
    { minLength: 2, maxLength: 6 },
  );

  test('are each answered in a way that the journal explains', async () => {
    const property = fc.asyncProperty(crowds, async (crowd) => {
      const ids = freshIds(WALLETS);
      const flown = await Promise.all(
        crowd.map(async (lines) => {
          const slot = await openSlot();
          const all: Flown[] = [];
          for (const { flight: numbered, copies } of lines) {
            const flight = onWallets(numbered, ids);
            all.push({ flight, answers: await slot.fly(flight, copies) });
          }
          return all;
        }),
      );
      expect(flownFaults(flown.flat(), await readStored(ids))).toEqual([]);
      expect(await auditFaults(sql, ids)).toEqual([]);
    });
    await fc.assert(property, { numRuns: 40 });
  });

  test.each([
    ['alone', 1],
    ['and to two others', 3],
  ])('send fifty first deposits to one new wallet %s, each twice', async (_, width) => {
    for (let round = 0; round < 8; round += 1) {
      const ids = freshIds(width);
      const slots = await Promise.all(Array.from({ length: 50 }, () => openSlot()));
      const flown = await Promise.all(
        slots.map(async (slot, at): Promise<Flown> => {
          // Each names the wallets in another order.
          const order = ids.map((_id, place) => ids[(place + at) % width] as bigint);
          const flight = order.map((id) => deposit(id, BigInt(at + 1)));
          return { flight, answers: await slot.fly(flight, 2) };
        }),
      );
      const stored = await readStored(ids);
      expect(flownFaults(flown, stored)).toEqual([]);
      expect([...stored.journals.values()].map((rows) => rows.at(-1)?.balance)).toEqual(
        ids.map(() => 1275n),
      );
      expect(await auditFaults(sql, ids)).toEqual([]);
    }
  });
});

describe('under the locks', () => {
  let own: Sql;
  let flyer: Sql;
  beforeAll(async () => {
    const database = await emptyDatabase();
    own = connect(database, { max: 3, name: 'wallet-test-locks' });
    await migrate(own, sqlFolder);
    flyer = connect(database, { max: 1, name: 'wallet-test-flyer' });
    // Left to itself, this connection goes through the rows in the order in which they lie.
    const off = ['indexscan', 'indexonlyscan', 'bitmapscan'].map((name) => `enable_${name} = off`);
    await flyer.unsafe(['enable_seqscan = on', ...off].map((set) => `set ${set}`).join(';'));
  });
  afterAll(() => Promise.all([own.end({ timeout: 1 }), flyer.end({ timeout: 1 })]));

  const freeWallets = async (from: bigint) => {
    const rows = await own<{ id: bigint }[]>`
      select id from wallets where id >= ${from} order by id for update skip locked`;
    return rows.map(({ id }) => id);
  };
  const isBlocked = async () => {
    const waiting = await own`
      select pid from pg_stat_activity
      where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0`;
    return waiting.length > 0;
  };

  test('wallets are taken in the order of their ids, wherever their rows lie', async () => {
    const ids = freshIds(3);
    const [low = 0n, middle = 0n, high = 0n] = ids;
    const slot = await openSlot(flyer);
    for (const id of ids.toReversed()) await slot.fly([deposit(id, 1n)]);
    expect(await freeWallets(low)).toEqual(ids);
    let flight: Promise<unknown> = Promise.resolve();
    await own.begin(async (holder) => {
      await holder`select from wallets where id = ${middle} for update`;
      flight = slot.fly([high, middle, low].map((id) => withdraw(id, 1n)));
      await until(isBlocked, 'the flight to wait');
      expect(await freeWallets(low)).toEqual([high]);
    });
    await flight;
    expect(await auditFaults(own, ids)).toEqual([]);
  });

  /** Changes what was read under the locks before it is written back, as only a bug could. */
  const tampers = {
    'the balance shrinks': (id: bigint) => `
      create function tamper() returns trigger language plpgsql as $$
      begin update wallets set amount = 1 where id = ${id}; return null; end $$;
      create trigger tamper after insert on operations for each row
        when (new.wallet_id = ${id}) execute function tamper()`,
    'the row cannot be written': (id: bigint) => `
      create function tamper() returns trigger language plpgsql as $$
      begin return null; end $$;
      create trigger tamper before update on wallets for each row
        when (old.id = ${id} and new.version > 1) execute function tamper()`,
  };

  test.each([
    ['the balance shrinks', 'alone', 'withdraw', withdraw],
    ['the balance shrinks', 'beside another wallet', 'withdraw', withdraw],
    ['the row cannot be written', 'alone', 'withdraw', withdraw],
    ['the row cannot be written', 'beside another wallet', 'withdraw', withdraw],
    ['the row cannot be written', 'alone', 'deposit', deposit],
    ['the row cannot be written', 'beside another wallet', 'deposit', deposit],
  ] as const)('a flight is undone when %s: %s, %s', async (how, where, _, change) => {
    const [id = 0n, other = 0n] = freshIds(2);
    const slot = await openSlot(own);
    await slot.fly([deposit(id, 100n), deposit(other, 100n)]);
    await own.unsafe(tampers[how](id));
    const flight = [change(where === 'alone' ? id : other, 1n), change(id, 50n)];
    const error = await slot.fly(flight).catch((thrown: Error) => thrown);
    await own.unsafe('drop function tamper cascade');
    expect(error).toMatchObject({
      message: expect.stringMatching(/^Bug: \d wallets changed, but/),
    });
    const stored = await own`select amount, version from wallets where id in (${id}, ${other})`;
    expect([...stored]).toEqual([1, 2].map(() => ({ amount: 100n, version: 1n })));
    expect(await auditFaults(own, [id, other])).toEqual([]);
  });
});
