/**
 * Makes sure that a port belongs to this service alone.
 * Invariant: while a claim is held, no other wallet service on this machine gets past its own
 * claim of the same port. With reusePort two services would otherwise share it silently, half the
 * money going to each one's database.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { bindHost } from './server.ts';
import type { HostAndPort } from './settings.ts';
import { StartError } from './start-error.ts';

/** A killed predecessor's workers stop listening within a second; this is time enough. */
const PATIENCE_MS = 3000;
const RETRY_MS = 50;

const ignored = { data() {} };

/**
 * Claims the port: by binding it exclusively for a moment, which detects any program, and on Linux
 * by an abstract socket kept for life, which closes the gap between that moment and the workers'.
 * @returns a function that gives the claim up.
 * @throws StartError when it stays taken for PATIENCE_MS, or is no address of this machine.
 */
export async function claimPort(address: HostAndPort): Promise<() => void> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      const release = claimName(address.port);
      bindOnce(address, release);
      return release;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'EADDRINUSE') throw refused(address, `cannot be listened on: ${message}`);
      if (Date.now() > deadline) throw refused(address, 'is in use by another program: stop it');
    }
    await sleep(RETRY_MS);
  }
}

function claimName(port: number): () => void {
  if (process.platform !== 'linux') return () => {};
  const claim = Bun.listen({ unix: `\0wallet-service:${port}`, socket: ignored });
  return () => claim.stop(true);
}

function bindOnce({ host, port }: HostAndPort, release: () => void): void {
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
