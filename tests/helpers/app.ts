/** The application on a real port of this process, over the shared database. */
import { buildApp } from '../../src/app.ts';
import { Probe } from '../../src/database/probe.ts';
import { Access } from '../../src/http/access.ts';
import { GroupCommitLedger, type LedgerOptions } from '../../src/ledger/group-commit-ledger.ts';
import type { Ledger, Operation } from '../../src/ledger/ledger.ts';
import type { Logger } from '../../src/log.ts';
import { Meter } from '../../src/metrics/meter.ts';
import { serve } from '../../src/server.ts';
import type { ServerAddress } from '../../src/server-address.ts';
import type { Admission } from '../../src/token-file.ts';
import { testDatabase } from './database.ts';
import { silentLogger } from './logger.ts';

export interface AppOptions extends Partial<LedgerOptions> {
  /** Instead of the shared server. */
  database?: ServerAddress;
  /** Instead of a ledger on the database: for failures that a database does not make. */
  ledger?: Ledger;
  logger?: Logger;
  isKeyRequired?: boolean;
  bodyMaxBytes?: number;
  idleTimeoutMs?: number;
  admission?: Admission;
}

export interface Answer {
  status: number;
  headers: Headers;
  /** The body as it was sent. */
  text: string;
}

export interface TestApp {
  port: number;
  url: string;
  access: Access;
  meter: Meter;
  server: ReturnType<typeof serve>;
  request: (path: string, init?: RequestInit) => Promise<Answer>;
  /** Posts a body; objects are written as JSON. */
  post: (body: unknown, headers?: Record<string, string>) => Promise<Answer>;
  deposit: (id: bigint, amount: bigint) => Promise<Answer>;
  withdraw: (id: bigint, amount: bigint) => Promise<Answer>;
  balance: (id: bigint) => Promise<Answer>;
  stop: () => Promise<void>;
}

const LEDGER_DEFAULTS: LedgerOptions = {
  flightSlots: 2,
  batchMax: 500,
  queueMax: 10_000,
  requestTimeoutMs: 10_000,
  attemptTimeoutMs: 3000,
};

export const WALLETS = '/api/v1/wallets';

export async function startApp(options: AppOptions = {}): Promise<TestApp> {
  const { requestTimeoutMs = 10_000, isKeyRequired = false, bodyMaxBytes = 16_384 } = options;
  const { idleTimeoutMs = 30_000, logger = silentLogger } = options;
  const address = options.database ?? (await testDatabase()).address;
  const probe = new Probe(address);
  const meter = new Meter();
  const ledger = new GroupCommitLedger(
    address,
    { ...LEDGER_DEFAULTS, ...options },
    { logger, meter },
  );
  const access = new Access(meter, logger);
  access.admit(options.admission ?? 'everybody');
  const app = buildApp({
    ledger: options.ledger ?? ledger,
    readiness: { answers: () => probe.answers(), isDraining: () => server.isDraining() },
    access,
    logger,
    meter,
    options: { requestTimeoutMs, isKeyRequired, bodyMaxBytes },
  });
  const server = serve(app.fetch, {
    address: { host: '127.0.0.1', port: 0 },
    idleTimeoutMs,
    reusePort: false,
    onAnswer: () => {},
  });
  const stop = async () => {
    await server.drain(0);
    await Promise.all([ledger.close(), probe.close()]);
  };
  return { ...client(server.port), access, meter, server, stop };
}

function client(port: number) {
  const url = `http://127.0.0.1:${port}`;
  const request = async (path: string, init: RequestInit = {}): Promise<Answer> => {
    const response = await fetch(url + path, { redirect: 'manual', ...init });
    return { status: response.status, headers: response.headers, text: await response.text() };
  };
  const post = (body: unknown, headers: Record<string, string> = {}) =>
    request(WALLETS, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  const operate = (type: Operation['type']) => (id: bigint, amount: bigint) =>
    post(operationText(id, type, amount));
  return {
    port,
    url,
    request,
    post,
    deposit: operate('DEPOSIT'),
    withdraw: operate('WITHDRAW'),
    balance: (id: bigint) => request(`${WALLETS}/${id}`),
  };
}

/** The body of an operation. */
export const operationText = (id: bigint, operationType: Operation['type'], amount: bigint) =>
  `{"walletID":${id},"operationType":"${operationType}","amount":${amount}}`;

/** The text of a successful answer. */
export const successText = (id: bigint, amount: bigint) =>
  `{"success":true,"message":"","data":{"id":${id},"amount":${amount}}}`;

/** The text of a refusal. */
export const refusalText = (message: string) =>
  `{"success":false,"message":${JSON.stringify(message)},"data":null}`;
