/**
 * Load by wrk (https://github.com/wg/wrk), where oha is not installed. It drops what is under way
 * when the time is up, tells only how many answers were no success, and knows no open loop.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BODY_PATH, type GeneratorMaker, type LoadResult, type Traffic } from './load-generator.ts';

/** Picks a random line of a file for each request and prints the summary as JSON. */
const script = ({ method, hasFreshKeys }: Traffic, file: string) => `
local lines = {}
for line in io.lines(${JSON.stringify(file)}) do lines[#lines + 1] = line end
local threads = 0
function setup(thread) threads = threads + 1 thread:set("seed", os.time() + threads) end
local sent = 0
function init() math.randomseed(seed) end
function freshKey()
  sent = sent + 1
  return string.format("${crypto.randomUUID().slice(0, 19)}-%06x%06x", seed % 0x1000000, sent)
end
wrk.method = "${method}"
if wrk.method == "POST" then wrk.headers["Content-Type"] = "application/json" end
function request()
  local line = lines[math.random(#lines)]
  if wrk.method == "GET" then return wrk.format(nil, line) end
  if ${hasFreshKeys === true} then wrk.headers["Idempotency-Key"] = freshKey() end
  return wrk.format(nil, nil, nil, line)
end
function done(summary, latency)
  local e = summary.errors
  print(string.format(
    'JSON{"requests":%d,"us":%d,"status":%d,"lost":%d,"p50":%d,"p99":%d}',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end`;

const THREADS = 2;

/** wrk from PATH. */
export const wrkGenerator: GeneratorMaker = async (stage, files) => {
  const program = Bun.which('wrk');
  if (!program) return null;
  return {
    name: 'wrk',
    isExact: false,
    hasFreshKeys: true,
    hasOpenLoop: false,
    run: async ({ traffic, base, connections, seconds }) => {
      const lines = await files.path(traffic, '');
      const path = join(stage.folder, `${crypto.randomUUID()}.lua`);
      await writeFile(path, script(traffic, lines));
      const threads = Math.min(THREADS, connections);
      const size = ['-t', String(threads), '-c', String(connections), '-d', `${seconds}s`];
      return parse(await stage.run([program, ...size, '-s', path, base + BODY_PATH], seconds));
    },
  };
};

function parse(output: string): LoadResult {
  const summary = JSON.parse(output.slice(output.lastIndexOf('JSON{') + 4));
  const { requests, us, status, lost, p50, p99 } = summary as Record<string, number>;
  if (!requests || !us) throw new Error(`wrk was not answered: ${output}`);
  const notOk = { 'not 2xx': status, 'connection errors': lost };
  const others = Object.entries(notOk).filter(([, count]) => count !== undefined && count > 0);
  return {
    perSecond: requests / (us / 1e6),
    ok: requests - (status ?? 0),
    others: Object.fromEntries(others) as Record<string, number>,
    p50Ms: (p50 ?? Number.NaN) / 1000,
    p99Ms: (p99 ?? Number.NaN) / 1000,
  };
}
