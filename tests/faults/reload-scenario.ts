/**
 * Run inside a network namespace of its own, where it may set `net.ipv4.tcp_migrate_req`: reloads
 * a service time and again while callers open a connection for each deposit, and prints what they
 * got.
 *
 *     unshare --net bun tests/faults/reload-scenario.ts '{"host": …}' 0|1
 */
import { writeFileSync } from 'node:fs';
import type { ServerAddress } from '../../src/server-address.ts';
import { freshWalletId } from '../helpers/database.ts';
import { commandOf, endServices, startService } from '../helpers/service.ts';

const CALLERS = 32;
const RELOADS = 4;

const [database = '', migrate = '0'] = process.argv.slice(2);
Bun.spawnSync(['ip', 'link', 'set', 'lo', 'up']);
writeFileSync('/proc/sys/net/ipv4/tcp_migrate_req', migrate);

const service = await startService({ database: JSON.parse(database) as ServerAddress });
await service.listening();
const id = freshWalletId();
const failures: string[] = [];
let answered = 0;
let isOver = false;

async function call(): Promise<void> {
  while (!isOver) {
    const answer = await service.deposit(id, 1n).catch((error: Error) => error.message);
    if (typeof answer === 'object' && answer.status === 200) answered += 1;
    else failures.push(JSON.stringify(answer));
  }
}

const calls = Array.from({ length: CALLERS }, call);
const supervisor = service.processes().find((pid) => commandOf(pid).includes('\0start\0'));
for (let reload = 1; reload <= RELOADS; reload += 1) {
  process.kill(supervisor as number, 'SIGUSR2');
  while (service.logged('reloaded').length < reload) await Bun.sleep(20);
}
isOver = true;
await Promise.all(calls);
const { text } = await service.request(`/api/v1/wallets/${id}`);
const balance = JSON.parse(text).data.amount;
await endServices();
process.stdout.write(`${JSON.stringify({ answered, failures, balance })}\n`);
process.exit(0);
