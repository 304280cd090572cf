/**
 * The abstract socket that a running service holds, named after its port (Linux only).
 * Invariant: the kernel gives the name to one process at a time and frees it when that one dies, so
 * it is the claim of the port; whoever connects is told who holds it, and of each reload how it
 * ended, but can change nothing: signals, which the kernel guards, do that.
 */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { isMigrating, NOT_MIGRATING } from './connection-migration.ts';
import { StartError } from './start-error.ts';

export const RELOAD_SIGNAL = 'SIGUSR2';

const isLinux = process.platform === 'linux';

const nameOf = (port: number) => `\0wallet-service:${port}`;

/** Those who wait for the end of a reload; more than these are told nothing. */
const LISTENERS_MAX = 16;

/** The socket of the service on a port; made by `claim`. */
export interface ControlSocket {
  /** Tells all who are connected how a reload ended, and lets them go. */
  tell: (outcome: 'reloaded' | 'failed') => void;
  release: () => void;
}

/** @throws EADDRINUSE while another service on this machine has the port. */
export function claim(port: number): ControlSocket {
  if (!isLinux) return { tell: () => {}, release: () => {} };
  const listeners = new Set<Bun.Socket>();
  const server = Bun.listen({
    unix: nameOf(port),
    socket: {
      open(socket) {
        if (listeners.size < LISTENERS_MAX) {
          listeners.add(socket);
          socket.write(`${process.pid}\n`);
        } else socket.end();
      },
      close: (socket) => void listeners.delete(socket),
      data() {},
    },
  });
  return {
    tell: (outcome) => {
      for (const listener of listeners) listener.end(`${outcome}\n`);
    },
    release: () => server.stop(true),
  };
}

/**
 * Has the service on a port replace its workers; resolves when all are replaced.
 * @throws StartError when there is none, it is another user's, or a new worker did not come up.
 */
export async function askToReload(port: number): Promise<void> {
  if (!isLinux) throw new StartError('a reload needs Linux: restart the service instead');
  if (!isMigrating()) process.stderr.write(`${NOT_MIGRATING}\n`);
  const socket = connect({ path: nameOf(port) });
  let pid: number | undefined;
  try {
    for await (const line of createInterface({ input: socket })) {
      if (line === 'reloaded') return void process.stdout.write('all workers are replaced\n');
      if (line === 'failed') break;
      pid = Number(line);
      if (!isService(pid)) throw new Error('something else answers there');
      process.kill(pid, RELOAD_SIGNAL);
    }
  } catch (error) {
    const why = pid === undefined ? 'no wallet service runs there' : (error as Error).message;
    throw new StartError(`cannot reload the service on port ${port}: ${why}`);
  } finally {
    socket.destroy();
  }
  throw new StartError(
    'the reload did not end well, and workers that were not replaced still serve: see the log of ' +
      `the service, process ${pid}`,
  );
}

/** Anybody may take an abstract name, and the signal would end another program. */
function isService(pid: number): boolean {
  const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  return words.some((word) => word.endsWith('main.ts'));
}
