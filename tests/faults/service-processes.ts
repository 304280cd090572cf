/**
 * The processes of a service under test: found, killed, frozen and woken by their ids (Linux).
 * Invariant: only processes of the service itself are touched, and never the id 0, which would be
 * our own group.
 */
import { readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findEmbedded } from '../../src/database/embedded.ts';
import type { ServerAddress } from '../../src/server-address.ts';
import { type TestService, until } from '../helpers/service.ts';

const RECOVERY_MS = 20_000;

const clusterOf = ({ dataDirectory }: TestService) =>
  join(realpathSync(join(dataDirectory, 'postgres')), 'cluster');

/** The parent of all processes of its PostgreSQL; undefined while there is none. */
export function postmasterOf(service: TestService): number | undefined {
  try {
    const [pid] = readFileSync(join(clusterOf(service), 'postmaster.pid'), 'utf8').split('\n');
    return Number(pid) || undefined;
  } catch {
    return undefined;
  }
}

function postgresOf(service: TestService): number[] {
  const cluster = clusterOf(service);
  return service.processes().filter((pid) => {
    try {
      return readlinkSync(`/proc/${pid}/cwd`) === cluster;
    } catch {
      return false;
    }
  });
}

/** Where its PostgreSQL answers. */
export async function databaseOf({ dataDirectory }: TestService): Promise<ServerAddress> {
  const address = await findEmbedded(dataDirectory);
  if (!address) throw new Error('the embedded PostgreSQL does not run');
  return address;
}

/** Signals one process, which must be there. */
export function strike(pid: number | undefined, signal: NodeJS.Signals): number {
  if (!pid) throw new Error(`there is no process to send ${signal}`);
  process.kill(pid, signal);
  return pid;
}

/** Stops a process for a while. */
export async function freeze(pid: number | undefined, milliseconds: number): Promise<void> {
  strike(pid, 'SIGSTOP');
  await sleep(milliseconds).finally(() => strike(pid, 'SIGCONT'));
}

/** Stops all of its PostgreSQL for a while, the parent first, so that it starts no other. */
export async function freezePostgres(service: TestService, milliseconds: number): Promise<void> {
  const postmaster = strike(postmasterOf(service), 'SIGSTOP');
  const all = [postmaster, ...postgresOf(service).filter((pid) => pid !== postmaster)];
  for (const pid of all) signalIfThere(pid, 'SIGSTOP');
  await sleep(milliseconds);
  for (const pid of all) signalIfThere(pid, 'SIGCONT');
}

/** What ends by itself meanwhile needs no signal. */
function signalIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    strike(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Waits until the service says that it has its database. */
export function recovered(service: TestService): Promise<void> {
  const isReady = async () => {
    const { status } = await service.request('/readyz').catch(() => ({ status: 0 }));
    return status === 200;
  };
  return until(isReady, 'the service to be ready', RECOVERY_MS);
}

/** Waits until another process has a role. */
export function succeeded(old: number, current: () => number[]): Promise<void> {
  const isNew = () => current().length > 0 && !current().includes(old);
  return until(isNew, `a successor of process ${old}`, RECOVERY_MS);
}
