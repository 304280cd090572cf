/**
 * Makes sure that a port belongs to this service alone.
 * Invariant: while a claim is held, no other wallet service on this machine gets past its own
 * claim of the same port. With reusePort two services would otherwise share it silently, half the
 * money going to each one's database.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type ControlSocket, claim } from './control-socket.ts';
import { bindHost } from './server.ts';
import type { HostAndPort } from './settings.ts';
import { StartError } from './start-error.ts';

/** A killed predecessor's workers stop listening within a second; this is time enough. */
const PATIENCE_MS = 3000;
const RETRY_MS = 50;

const ignored = { data() {} };

/**
 * Claims the port: by binding it exclusively for a moment, which detects any program, and on Linux
 * by the control socket, kept for life, which closes the gap between that moment and the workers'.
 * @returns the claim, to be released at the end.
 * @throws StartError when it stays taken for PATIENCE_MS, or is no address of this machine.
 */
export async function claimPort(address: HostAndPort): Promise<ControlSocket> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      const control = claim(address.port);
      bindOnce(address, control);
      return control;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'EADDRINUSE') throw refused(address, `cannot be listened on: ${message}`);
      if (Date.now() > deadline) throw refused(address, 'is in use by another program: stop it');
    }
    await sleep(RETRY_MS);
  }
}

function bindOnce({ host, port }: HostAndPort, { release }: ControlSocket): void {
  try {
    const hostname = bindHost(host);
    Bun.listen({ hostname, port, exclusive: true, socket: ignored }).stop(true);
  } catch (error) {
    release();
    throw error;
  }
}

function refused({ host, port }: HostAndPort, why: string): StartError {
  return new StartError(`APP_ADDRESS ${host}:${port} ${why}, or set another APP_ADDRESS`);
}
