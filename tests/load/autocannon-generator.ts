/**
 * Load by autocannon from npm, where neither oha nor wrk is installed: fetched into the temporary
 * folder for this run. It takes a core for itself, so it is the limit before the contenders are:
 * good enough to see that all works, not to compare.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BODY_PATH,
  type GeneratorMaker,
  type Load,
  type LoadResult,
  type TrafficFiles,
} from './load-generator.ts';
import type { Stage } from './stage.ts';

const VERSION = '8.0.0';

/** Lets each connection walk through its own share of the lines. */
const script = `
import autocannon from 'autocannon';
const { url, method, file, connections, seconds, rate, hasFreshKeys } = JSON.parse(process.argv[2]);
const lines = (await Bun.file(file).text()).trimEnd().split('\\n');
const headers = method === 'POST' ? { 'content-type': 'application/json' } : {};
const setupRequest = (request) =>
  ({ ...request, headers: { ...headers, 'idempotency-key': crypto.randomUUID() } });
const request = (line) =>
  method === 'POST'
    ? { method, headers, body: line, ...(hasFreshKeys ? { setupRequest } : {}) }
    : { method, path: line };
const share = Math.max(1, Math.floor(lines.length / connections));
let first = 0;
const result = await autocannon({
  url, connections, duration: seconds, ...(rate ? { overallRate: rate } : {}),
  setupClient: (client) => {
    client.setRequests(lines.slice(first, first + share).map(request));
    first = (first + share) % lines.length;
  },
});
console.log('JSON' + JSON.stringify(result));`;

interface Report {
  requests: { total: number };
  duration: number;
  statusCodeStats: Record<string, { count: number }>;
  errors: number;
  latency: { p50: number; p99: number };
}

/** Fetches autocannon when it is first needed. */
export const autocannonGenerator: GeneratorMaker = async (stage, files) => {
  const name = `autocannon ${VERSION}`;
  process.stderr.write(`neither oha nor wrk is installed (brew, cargo, apt): fetching ${name}\n`);
  await stage.run([process.execPath, 'add', '--cwd', stage.folder, `autocannon@${VERSION}`]);
  await writeFile(join(stage.folder, 'autocannon.mjs'), script);
  return {
    name,
    isExact: false,
    hasFreshKeys: true,
    hasOpenLoop: true,
    run: (load) => fire(stage, files, load),
  };
};

async function fire(stage: Stage, files: TrafficFiles, load: Load): Promise<LoadResult> {
  const { traffic, base, connections, seconds, rate } = load;
  const { method, hasFreshKeys } = traffic;
  const file = await files.path(traffic, '');
  const limits = { connections, seconds, rate };
  const question = { url: base + BODY_PATH, method, file, hasFreshKeys, ...limits };
  const main = join(stage.folder, 'autocannon.mjs');
  const output = await stage.run([process.execPath, main, JSON.stringify(question)], seconds);
  const report: Report = JSON.parse(output.slice(output.lastIndexOf('JSON{') + 4));
  const counts = Object.entries(report.statusCodeStats).map(([status, { count }]) => {
    return [status, count] as const;
  });
  const { '200': ok = 0, ...others } = Object.fromEntries(counts);
  return {
    perSecond: report.requests.total / report.duration,
    ok,
    others: report.errors > 0 ? { ...others, 'connection errors': report.errors } : others,
    p50Ms: report.latency.p50,
    p99Ms: report.latency.p99,
  };
}
