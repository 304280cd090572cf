/**
 * Shows the service's numbers on an address of their own: to Prometheus at /metrics, to people at
 * /, which /events feeds. Invariant: it answers from the supervisor's memory alone, so neither a
 * busy worker nor a database that is away keeps it waiting; and it can change nothing.
 */
import { pageHeaders } from '../http/page-headers.ts';
import { pathOf } from '../http/routes.ts';
import { bindHost } from '../server.ts';
import type { HostAndPort } from '../settings.ts';
import { StartError } from '../start-error.ts';
import { DASHBOARD_FILES } from './dashboard.ts';
import { eventSource } from './event-stream.ts';
import type { Pulses } from './pulses.ts';

export interface MetricsSource {
  /** In Prometheus' text format. */
  text: () => Promise<string>;
  pulses: Pulses;
}

type Page = (request: Request) => Response | Promise<Response>;

const TEXT = { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' };

/** Beyond this without a byte read, a connection is dropped; events come each second. */
const IDLE_SECONDS = 30;

/**
 * Listens until the function that is returned is called; undefined if the address is taken and
 * `isOptional`.
 * @throws StartError when it is taken otherwise, or is no address of this machine.
 */
export function serveMetrics(
  { host, port }: HostAndPort,
  isOptional: boolean,
  source: MetricsSource,
): (() => void) | undefined {
  try {
    const server = Bun.serve({
      hostname: bindHost(host),
      port,
      reusePort: false,
      idleTimeout: IDLE_SECONDS,
      development: false,
      fetch: answerer(pagesOf(source)),
    });
    return () => void server.stop(true);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE' && isOptional) return undefined;
    const why = code === 'EADDRINUSE' ? 'is in use by another program' : message;
    throw new StartError(`METRICS_ADDRESS ${host}:${port} ${why}: set another`);
  }
}

function pagesOf({ text, pulses }: MetricsSource): Map<string, Page> {
  const file = (path: string) => () => {
    return new Response(Bun.file(path), { headers: { 'cache-control': 'no-cache' } });
  };
  return new Map<string, Page>([
    ['/metrics', async () => new Response(await text(), { headers: TEXT })],
    ['/events', eventSource(pulses)],
    ...Object.entries(DASHBOARD_FILES).map(([path, name]) => [path, file(name)] as const),
  ]);
}

/** 404 for what is no page, 405 for what is not asked with GET. */
function answerer(pages: Map<string, Page>): Page {
  return async (request) => {
    const page = pages.get(pathOf(request.url));
    const response = await (page ? onlyGet(page) : notFound)(request);
    for (const [name, value] of Object.entries(pageHeaders)) response.headers.set(name, value);
    return response;
  };
}

const notFound: Page = () => new Response('not found\n', { status: 404 });

const onlyGet =
  (page: Page): Page =>
  (request) => {
    if (request.method === 'GET') return page(request);
    return new Response('method not allowed\n', { status: 405, headers: { allow: 'GET' } });
  };
