/**
 * The pulses as server-sent events. Each browser that watches holds a connection, so there are few.
 * Invariant: bounded memory: whoever reads nothing for the server's idle time is cut off.
 */
import { version } from '../../package.json' with { type: 'json' };
import type { Pulse } from './pulse.ts';
import type { Pulses } from './pulses.ts';

/** More people than this look elsewhere. */
const WATCHERS_MAX = 50;

/** How soon a browser comes back when the service went away. */
const RETRY_MS = 1000;

const HEADERS = { 'content-type': 'text/event-stream', 'cache-control': 'no-store' };

/**
 * Answers GET /events: at once `service`, what runs, and `history`, the pulses of the last minutes;
 * then `pulse`, each second as it passes. 503 when too many are watching.
 */
export function eventSource(pulses: Pulses): (request: Request) => Response {
  let watchers = 0;
  return ({ signal }) => {
    if (watchers >= WATCHERS_MAX) return new Response('too many are watching\n', { status: 503 });
    watchers += 1;
    let end = () => {};
    const stream = new ReadableStream<string>({
      start(controller) {
        controller.enqueue(`retry: ${RETRY_MS}\n\n`);
        controller.enqueue(event('service', { version }));
        controller.enqueue(event('history', pulses.kept));
        const unwatch = pulses.watch((pulse) => controller.enqueue(pulseEvent(pulse)));
        end = () => {
          end = () => {};
          unwatch();
          watchers -= 1;
        };
        signal.addEventListener('abort', () => end());
      },
      cancel: () => end(),
    });
    return new Response(stream, { headers: HEADERS });
  };
}

const pulseEvent = (pulse: Pulse) => event('pulse', pulse);

const event = (name: string, data: unknown) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
