/**
 * Far more callers on one wallet than may wait: the rest is refused at once, the probes answer as
 * ever, memory stays bounded, and every deposit that was answered is in the books, and no other.
 */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../../src/database/connection.ts';
import { audit } from '../../src/ledger/audit.ts';
import { operationText, refusalText, WALLETS } from '../helpers/app.ts';
import { emptyDatabase, freshWalletId } from '../helpers/database.ts';
import { HttpClient } from '../helpers/http-client.ts';
import { endServices, startService } from '../helpers/service.ts';

setDefaultTimeout(60_000);

const CALLERS = 400;
const QUEUE_MAX = 10;
const LOAD_MS = 3000;
const PROBE_MAX_MS = 1000;

/** What a worker may take for all that its callers have sent, and the answers to it. */
const GROWTH_MAX_MIB = 100;

interface Load {
  /** How often each answer was given. */
  answers: Map<string, number>;
  /** How long each probe took, in milliseconds. */
  probes: number[];
}

/** Deposits of 1, one after the other, until the end. */
async function hammer(port: number, id: bigint, end: number, { answers }: Load): Promise<void> {
  const client = new HttpClient(`http://127.0.0.1:${port}`);
  const body = operationText(id, 'DEPOSIT', 1n);
  while (Date.now() < end) {
    const { status, head, text } = await client.post(WALLETS, body);
    const wait = /^retry-after: (\d+)\r?$/im.exec(head)?.[1];
    const answer = status === 200 ? '200' : `${status} after ${wait}: ${text}`;
    answers.set(answer, (answers.get(answer) ?? 0) + 1);
  }
  client.close();
}

/** Each on a connection of its own, as an orchestrator asks. */
async function probe(port: number, path: string, end: number, { probes }: Load): Promise<void> {
  while (Date.now() < end) {
    const client = new HttpClient(`http://127.0.0.1:${port}`);
    const began = performance.now();
    expect((await client.get(path)).status).toBe(200);
    probes.push(performance.now() - began);
    client.close();
    await sleep(20);
  }
}

function memoryMiB(pid: number, measure: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${measure}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024;
}

describe.skipIf(process.platform !== 'linux')('under overload', () => {
  afterAll(endServices);

  test('probes answer within a second, the rest is refused, and the books are right', async () => {
    const database = await emptyDatabase();
    const variables = { QUEUE_MAX: String(QUEUE_MAX) };
    const service = await (await startService({ database, variables })).listening();
    const { port } = service;
    const id = freshWalletId();
    await service.deposit(id, 1n);
    const workers = service.workers();
    const before = workers.map((pid) => memoryMiB(pid, 'VmRSS'));

    const load: Load = { answers: new Map(), probes: [] };
    const end = Date.now() + LOAD_MS;
    const callers = Array.from({ length: CALLERS }, () => hammer(port, id, end, load));
    const probes = ['/livez', '/readyz'].map((path) => probe(port, path, end, load));
    await Promise.all([...callers, ...probes]);

    const refused = `503 after 1: ${refusalText(`not applied: ${QUEUE_MAX} others are waiting`)}`;
    expect([...load.answers.keys()].sort()).toEqual(['200', refused]);
    expect(load.answers.get(refused)).toBeGreaterThan(CALLERS);
    expect(load.probes.length).toBeGreaterThan(10);
    expect(Math.max(...load.probes)).toBeLessThan(PROBE_MAX_MS);
    expect(service.workers()).toEqual(workers);
    const growth = workers.map((pid, at) => memoryMiB(pid, 'VmHWM') - (before[at] ?? 0));
    expect(Math.max(...growth)).toBeLessThan(GROWTH_MAX_MIB);

    const sql = connect(database, { max: 1, name: 'wallet-test-judge' });
    const [wallet] = await sql`select amount, version from wallets where id = ${id}`;
    const books = await audit(sql, () => {});
    await sql.end({ timeout: 1 });
    const deposits = BigInt(1 + (load.answers.get('200') ?? 0));
    expect(wallet).toEqual({ amount: deposits, version: deposits });
    expect(books.faults).toEqual([]);
  });
});
