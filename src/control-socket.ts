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

/** Those who may wait for the end of a reload, and for how long. */
const LISTENERS_MAX = 16;
const LISTENER_SECONDS = 600;

type Outcome = 'reloaded' | 'failed';

/** The socket of the service on a port; made by `claim`. */
export interface ControlSocket {
  /** @returns a function that tells those who wait now how it ended, and lets them go. */
  listeners: () => (outcome: Outcome) => void;
  release: () => void;
}

/** @throws EADDRINUSE while another service on this machine has the port. */
export function claim(port: number): ControlSocket {
  if (!isLinux) return { listeners: () => () => {}, release: () => {} };
  const listeners = new Set<Bun.Socket>();
  const server = Bun.listen({
    unix: nameOf(port),
    socket: {
      open(socket) {
        if (listeners.size < LISTENERS_MAX) {
          listeners.add(socket);
          socket.timeout(LISTENER_SECONDS);
          socket.write(`${process.pid}\n`);
        } else socket.end('busy\n');
      },
      close: (socket) => void listeners.delete(socket),
      timeout: (socket) => void socket.end(),
      data() {},
    },
  });
  return {
    listeners: () => {
      const waiting = [...listeners];
      return (outcome) => {
        for (const listener of waiting) listener.end(`${outcome}\n`);
      };
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
      if (line in WHY_NOT) throw new Error(WHY_NOT[line]);
      pid = Number(line);
      if (!isService(pid)) throw new Error('something else answers there');
      process.kill(pid, RELOAD_SIGNAL);
    }
    throw new Error('it ended');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === 'ECONNREFUSED' || code === 'ENOENT' ? 'none runs there' : message;
    const where = pid === undefined ? '' : ` (process ${pid})`;
    throw new StartError(`cannot reload the service on port ${port}${where}: ${why}`);
  } finally {
    socket.destroy();
  }
}

const WHY_NOT: Record<string, string> = {
  failed: 'a migration or a new worker failed, as its log says; workers not replaced still serve',
  busy: 'too many wait for a reload already; SIGUSR2 works without waiting',
};

/** Anybody may take an abstract name, and the signal would end another program. */
function isService(pid: number): boolean {
  const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  return words.some((word) => word.endsWith('main.ts'));
}
