/**
 * Shows the service's numbers on an address of their own: to Prometheus at /metrics, to people at
 * /, which /events feeds. Invariant: it answers from the supervisor's memory alone, so neither a
 * busy worker nor a database that is away keeps it waiting; and it can change nothing.
 */
import { bindHost } from '../server.ts';
import type { HostAndPort } from '../settings.ts';
import { StartError } from '../start-error.ts';
import type { Pulses } from './pulses.ts';

export interface MetricsSource {
  /** In Prometheus' text format. */
  text: () => Promise<string>;
  pulses: Pulses;
}

const TEXT = 'text/plain; version=0.0.4; charset=utf-8';

/** More people than this look elsewhere: each holds a connection. */
const WATCHERS_MAX = 50;

/**
 * Listens until the function that is returned is called; undefined if the address is taken and
 * `isOptional`.
 * @throws StartError when it is taken otherwise, or is no address of this machine.
 */
export function serveMetrics(
  address: HostAndPort,
  isOptional: boolean,
  { text, pulses }: MetricsSource,
): (() => void) | undefined {
  const { host, port } = address;
  let watchers = 0;
  const events = (request: Request) => {
    if (watchers >= WATCHERS_MAX) return new Response('too many are watching\n', { status: 503 });
    watchers += 1;
    const stream = eventStream(pulses, request.signal, () => {
      watchers -= 1;
    });
    return new Response(stream, {
      headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' },
    });
  };
  try {
    const server = Bun.serve({
      hostname: bindHost(host),
      port,
      reusePort: false,
      // A stream of events is never silent for longer than a second.
      idleTimeout: 30,
      routes: {
        '/metrics': {
          GET: async () => new Response(await text(), { headers: { 'content-type': TEXT } }),
        },
        '/events': { GET: events },
      },
      fetch: () => new Response('not found\n', { status: 404 }),
    });
    return () => void server.stop(true);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE' && isOptional) return undefined;
    const why = code === 'EADDRINUSE' ? 'is in use by another program' : message;
    throw new StartError(`METRICS_ADDRESS ${host}:${port} ${why}: set another`);
  }
}

/** First the last minutes at once, then each second as it passes. */
function eventStream(pulses: Pulses, signal: AbortSignal, onEnd: () => void): ReadableStream {
  const encoder = new TextEncoder();
  const event = (name: string, data: unknown) =>
    encoder.encode(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
  let end = () => {};
  return new ReadableStream({
    start(controller) {
      controller.enqueue(event('history', pulses.kept));
      const unwatch = pulses.watch((pulse) => controller.enqueue(event('pulse', pulse)));
      end = () => {
        end = () => {};
        unwatch();
        onEnd();
      };
      signal.addEventListener('abort', () => end());
    },
    cancel: () => end(),
  });
}
