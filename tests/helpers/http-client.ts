/**
 * An HTTP client that makes each request once, on a connection of its own that it keeps.
 * Invariant: one request at a time; a connection that ends before its answer is complete rejects
 * the request, which is never sent again. Now and then it comes back on another connection, so
 * that callers spread over all workers that share a port.
 */
import { connect, type Socket } from 'node:net';

/** Beyond every deadline of the service. */
const ANSWER_MAX_MS = 25_000;

const REQUESTS_PER_CONNECTION = 50;

export class ConnectionLost extends Error {}

interface PlainAnswer {
  status: number;
  /** The lines of the headers. */
  head: string;
  text: string;
}

export class HttpClient {
  readonly #port: number;
  #socket: Socket | undefined;
  #requests = 0;

  constructor(url: string) {
    this.#port = Number(new URL(url).port);
  }

  get(path: string): Promise<PlainAnswer> {
    return this.#send(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  }

  post(path: string, body: string, headers: string[] = []): Promise<PlainAnswer> {
    const length = `Content-Length: ${body.length}`;
    const lines = ['Host: localhost', 'Content-Type: application/json', length, ...headers];
    return this.#send(`POST ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`);
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  #open(): Socket {
    if (this.#socket) return this.#socket;
    const socket = connect(this.#port, '127.0.0.1');
    const forget = () => {
      if (this.#socket === socket) this.#socket = undefined;
    };
    this.#socket = socket.on('close', forget).on('error', forget);
    return socket;
  }

  /** @throws ConnectionLost; any other error is a fault of the service. */
  #send(request: string): Promise<PlainAnswer> {
    this.#requests += 1;
    if (this.#requests % REQUESTS_PER_CONNECTION === 0) this.close();
    const socket = this.#open();
    const { promise, resolve, reject } = Promise.withResolvers<PlainAnswer>();
    let received = '';
    const timer = setTimeout(
      () => reject(new Error(`no answer in ${ANSWER_MAX_MS} ms`)),
      ANSWER_MAX_MS,
    );
    const lost = () => reject(new ConnectionLost());
    const read = (bytes: Buffer) => {
      received += bytes;
      const answer = complete(received);
      if (answer) resolve(answer);
    };
    socket.on('data', read).on('error', lost).on('close', lost);
    socket.write(request);
    return promise
      .catch((error: unknown) => {
        this.close();
        throw error;
      })
      .finally(() => {
        clearTimeout(timer);
        socket.off('data', read).off('error', lost).off('close', lost);
      });
  }
}

/** The answer, once all of its body is there. */
function complete(received: string): PlainAnswer | undefined {
  const [head = '', text] = received.split('\r\n\r\n');
  const length = Number(/content-length: (\d+)/i.exec(head)?.[1]);
  return text?.length === length ? { status: Number(head.slice(9, 12)), head, text } : undefined;
}
