/**
 * The workloads and what group commit must reach in each. Issue: "How fast, measured side by side".
 * Invariant: deposits are of AMOUNT, so that the sum of all balances counts them.
 */
import type { ContenderName } from './contenders.ts';
import type { Traffic } from './load-generator.ts';
import { SEEDED_WALLETS } from './wallets.ts';

export interface Target {
  over: ContenderName;
  /** Group commit's rate divided by the other's; none is printed without judgement. */
  atLeast?: number;
}

export interface Workload {
  id: string;
  title: string;
  traffic: Traffic;
  connections: number;
  /** Ids from `first`, in one run. */
  wallets: { first: number; count: number };
  /** What every 200 adds to the balances; undefined when that differs. */
  addsPerOk?: bigint;
  refusesSome: boolean;
  targets: Target[];
}

export const AMOUNT = 42n;

/** The hot wallets lie beyond the seeded ones, which are 1 to SEEDED_WALLETS. */
export const HOT_WALLET = SEEDED_WALLETS + 1;
const MIXED_WALLET = SEEDED_WALLETS + 2;
export const FIRST_FRESH_WALLET = SEEDED_WALLETS + 1000;

/** More than any wallet ever holds here. */
const TOO_MUCH = 9_000_000_000_000_000_000n;

const body = (id: number, type: string, amount = AMOUNT) =>
  `{"walletID":${id},"operationType":"${type}","amount":${amount}}`;

const ids = (first: number, count: number) => Array.from({ length: count }, (_, at) => first + at);

/** Deposits of AMOUNT to each of the wallets. */
export const depositsTo = (first: number, count: number): Traffic => ({
  method: 'POST',
  lines: ids(first, count).map((id) => body(id, 'DEPOSIT')),
});

/** Half deposits, half withdrawals, of which one in ten asks for more than there can be. */
const mixedOn = (id: number): Traffic => ({
  method: 'POST',
  lines: [
    ...Array<string>(10).fill(body(id, 'DEPOSIT')),
    ...Array<string>(9).fill(body(id, 'WITHDRAW')),
    body(id, 'WITHDRAW', TOO_MUCH),
  ],
});

const balancesOf = (first: number, count: number): Traffic => ({
  method: 'GET',
  lines: ids(first, count).map((id) => `/api/v1/wallets/${id}`),
});

const one = { first: HOT_WALLET, count: 1 };
const hundredThousand = { first: 1, count: SEEDED_WALLETS };

const hotDeposits = depositsTo(HOT_WALLET, 1);

const onOneWallet = (connections: number, targets: Target[]): Workload => ({
  id: `connections-${connections}`,
  title: `deposits on one wallet, ${connections} connections`,
  traffic: hotDeposits,
  connections,
  wallets: one,
  addsPerOk: AMOUNT,
  refusesSome: false,
  targets,
});

const ceiling = (atLeast: number): Target => ({ over: 'ceiling', atLeast });
const classical = (atLeast: number): Target => ({ over: 'one commit per request', atLeast });
const printed = (over: ContenderName): Target => ({ over });

export const workloads: Workload[] = [
  {
    ...onOneWallet(256, [ceiling(0.85), classical(8), printed('pgbench')]),
    id: 'one-wallet',
    title: 'deposits on one wallet',
  },
  {
    id: 'many-wallets',
    title: 'deposits over 100,000 wallets',
    traffic: depositsTo(1, SEEDED_WALLETS),
    connections: 256,
    wallets: hundredThousand,
    addsPerOk: AMOUNT,
    refusesSome: false,
    targets: [ceiling(0.65), classical(3), printed('pgbench')],
  },
  {
    id: 'mixed',
    title: 'half deposits, half withdrawals on one wallet, some refused',
    traffic: mixedOn(MIXED_WALLET),
    connections: 256,
    wallets: { first: MIXED_WALLET, count: 1 },
    refusesSome: true,
    targets: [ceiling(0.75)],
  },
  {
    id: 'balance-one',
    title: 'balance of one wallet',
    traffic: balancesOf(1, 1),
    connections: 256,
    wallets: { first: 1, count: 1 },
    addsPerOk: 0n,
    refusesSome: false,
    targets: [ceiling(0.85)],
  },
  {
    id: 'balance-many',
    title: 'balance of 100,000 wallets',
    traffic: balancesOf(1, SEEDED_WALLETS),
    connections: 256,
    wallets: hundredThousand,
    addsPerOk: 0n,
    refusesSome: false,
    targets: [ceiling(0.7)],
  },
  onOneWallet(1, [printed('ceiling'), classical(0.85)]),
  onOneWallet(8, [printed('ceiling')]),
  onOneWallet(50, [ceiling(0.6)]),
  onOneWallet(1024, [ceiling(0.75)]),
];
