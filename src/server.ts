/**
 * Listens on the port and takes its leave of it.
 * Invariant: a request that was read is answered; from the drain on, every answer says
 * `Connection: close`, and the socket closes behind it.
 */
import { networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { BODY_HARD_STOP_BYTES } from './http/request-body.ts';
import type { HostAndPort } from './settings.ts';

export interface ServeOptions {
  address: HostAndPort;
  /** How long a connection may be silent; Bun counts in steps of 4 s and may be one early. */
  idleTimeoutMs: number;
  /** Shares the port with other processes. Off, a taken port is an error. */
  reusePort: boolean;
  /** Called with each request and its answer; the time is in seconds. */
  onAnswer: (request: Request, response: Response, seconds: number) => void;
}

export interface Server {
  /** The port, also where `address` left the choice to the system. */
  port: number;
  isDraining: () => boolean;
  /** Takes leave of busy clients, stops listening, answers what was read; at most `drainMs`. */
  drain: (drainMs: number) => Promise<void>;
}

type Handler = (request: Request) => Response | Promise<Response>;

/**
 * How long busy clients have to meet `Connection: close` before idle connections are closed:
 * a hundred round trips of a client that is answered in 2 ms.
 */
const FAREWELL_MS = 200;

/** The address to bind: every interface, on IPv6 too where there is any, when no host is given. */
export function bindHost(host: string): string {
  if (host !== '') return host;
  const interfaces = Object.values(networkInterfaces()).flat();
  return interfaces.some((one) => one?.family === 'IPv6') ? '::' : '0.0.0.0';
}

/** Where a client on this machine finds what listens on an address. */
export function urlOf({ host, port }: HostAndPort): string {
  const name = host === '' ? 'localhost' : host;
  return `http://${name.includes(':') ? `[${name}]` : name}:${port}`;
}

/** Without a (valid) Host, Bun gives a path alone as the URL, in which the router finds nothing. */
function withHost(request: Request): Request {
  if (!request.url.startsWith('/')) return request;
  return new Request(`http://localhost${request.url}`, request);
}

/** @throws EADDRINUSE when the port is taken and not shared. */
export function serve(handler: Handler, options: ServeOptions): Server {
  const { address, idleTimeoutMs, reusePort, onAnswer } = options;
  let draining = false;
  const server = Bun.serve({
    hostname: bindHost(address.host),
    port: address.port,
    reusePort,
    maxRequestBodySize: BODY_HARD_STOP_BYTES,
    development: false,
    idleTimeout: Math.ceil(idleTimeoutMs / 1000),
    fetch: async (request) => {
      const began = performance.now();
      const response = await handler(withHost(request));
      onAnswer(request, response, (performance.now() - began) / 1000);
      if (draining) response.headers.set('connection', 'close');
      return response;
    },
  });
  return {
    port: server.port ?? address.port,
    isDraining: () => draining,
    drain: async (drainMs) => {
      draining = true;
      const force = setTimeout(() => server.stop(true), drainMs);
      await sleep(Math.min(FAREWELL_MS, drainMs));
      await server.stop();
      clearTimeout(force);
    },
  };
}
