/**
 * Says why no encrypted connection comes about, where waiting does not help, and what to do.
 * Invariant: it sends a server nothing but the question whether it encrypts.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { HostAndPort } from '../settings.ts';
import { errorCode, isHandshakeCut, refusesCertificate } from './failure.ts';

/** PostgreSQL's SSLRequest: its length, and a number that no version of the protocol has. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

const NO = 'N'.charCodeAt(0);

const ANSWER_MS = 1000;

/** The fault behind a failed connection; undefined if it is none of encryption, or may pass. */
export async function findTlsFault(
  error: unknown,
  server: HostAndPort,
): Promise<string | undefined> {
  const { message } = error as Error;
  if (errorCode(error) === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const cure = 'name the server as its certificate does';
    return `its certificate is for another host: ${message}: ${cure}`;
  }
  if (refusesCertificate(error)) {
    return (
      `its certificate is not trusted: ${message} (${errorCode(error)}): ` +
      'DB_SSL_CA_FILE must hold the CA that signed it'
    );
  }
  if (!isHandshakeCut(error) || !(await refusesTls(server))) return undefined;
  return 'the server has no TLS: turn on ssl in its postgresql.conf, or set DB_SSL=disable';
}

/** A server that goes down cuts a handshake as well, so it is asked once more. */
async function refusesTls(server: HostAndPort): Promise<boolean> {
  const socket = connect(server);
  socket.setTimeout(ANSWER_MS, () => socket.destroy());
  socket.on('connect', () => socket.write(SSL_REQUEST));
  const closed = once(socket, 'close').then(() => []);
  const [answer] = await Promise.race([once(socket, 'data'), closed]).catch(() => []);
  socket.destroy();
  return (answer as Buffer | undefined)?.[0] === NO;
}
