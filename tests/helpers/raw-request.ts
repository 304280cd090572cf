/**
 * One request on a socket of its own, with header lines exactly as given: for what `fetch` joins,
 * trims or refuses to send. Invariant: each character is one byte, both ways.
 */
import { connect } from 'node:net';

const ANSWER_MAX_MS = 5000;

export interface RawRequest {
  method: 'GET' | 'POST';
  path: string;
  /** Beyond Host, Connection and, with a body, its type and length. */
  lines: string[];
  body?: string;
}

/** @returns the status, and the body as text. */
export async function rawRequest(port: number, request: RawRequest) {
  const { status, text } = await rawAnswer(port, request);
  return { status, text };
}

/** @returns the lines of the headers as well. */
export async function rawAnswer(port: number, { method, path, lines, body }: RawRequest) {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect(port, '127.0.0.1').setEncoding('latin1');
  let received = '';
  socket.on('data', (data) => {
    received += data;
  });
  socket.on('close', resolve).on('error', reject).setTimeout(ANSWER_MAX_MS, reject);
  const ofBody = ['Content-Type: application/json', `Content-Length: ${body?.length}`];
  const head = [
    `${method} ${path} HTTP/1.1`,
    ...['Host: wallet.test', 'Connection: close'],
    ...(body === undefined ? [] : ofBody),
    ...lines,
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n${body ?? ''}`, 'latin1');
  await promise.finally(() => socket.destroy());
  const end = received.indexOf('\r\n\r\n');
  const [answerHead, text] = [received.slice(0, end), received.slice(end + 4)];
  return { status: Number(received.slice(9, 12)), head: answerHead, text };
}
