/**
 * Load by oha (https://github.com/hatoo/oha): the preferred generator, because it picks a random
 * line of a file for each request at no noticeable cost, waits for the last answers, and corrects
 * the latency of an open loop for requests that had to wait for their turn.
 */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import {
  BODY_PATH,
  type GeneratorMaker,
  type Load,
  type LoadResult,
  type TrafficFiles,
} from './load-generator.ts';

interface Report {
  summary: { requestsPerSec: number };
  latencyPercentiles: { p50: number | null; p99: number | null };
  statusCodeDistribution: Record<string, number>;
  errorDistribution: Record<string, number>;
}

/** Above every deadline of the service: an answer later than this is no answer. */
const TIMEOUT_SECONDS = 30;

const CARGO_BIN = join(homedir(), '.cargo', 'bin', 'oha');

/** oha from PATH, or from where cargo installs it. */
export const ohaGenerator: GeneratorMaker = async (stage, files) => {
  const program = Bun.which('oha') ?? (existsSync(CARGO_BIN) ? CARGO_BIN : null);
  if (!program) return null;
  const version = await stage.run([program, '--version']);
  return {
    name: version.trim(),
    isExact: true,
    hasFreshKeys: false,
    hasOpenLoop: true,
    run: async (load) => {
      const command = [program, ...(await flags(load, files))];
      return parse(await stage.run(command, load.seconds));
    },
  };
};

async function flags(load: Load, files: TrafficFiles): Promise<string[]> {
  const { traffic, base, connections, seconds, rate } = load;
  const { method } = traffic;
  const file = await files.path(traffic, method === 'GET' ? base : '');
  const post = ['-m', 'POST', '-T', 'application/json', '-Z', file, base + BODY_PATH];
  return [
    ['--no-tui', '--output-format', 'json', '--wait-ongoing-requests-after-deadline'],
    ['-z', `${seconds}s`, '-c', String(connections), '-t', `${TIMEOUT_SECONDS}s`],
    rate === undefined ? [] : ['-q', String(rate), '--latency-correction'],
    method === 'POST' ? post : ['--urls-from-file', file],
  ].flat();
}

function parse(output: string): LoadResult {
  const report: Report = JSON.parse(output);
  const { '200': ok = 0, ...statuses } = report.statusCodeDistribution;
  return {
    perSecond: report.summary.requestsPerSec,
    ok,
    others: { ...statuses, ...report.errorDistribution },
    p50Ms: 1000 * (report.latencyPercentiles.p50 ?? Number.NaN),
    p99Ms: 1000 * (report.latencyPercentiles.p99 ?? Number.NaN),
  };
}
