/**
 * A real Prometheus reads the metrics of a real service under load, configured as the README says,
 * and understands the alerts that the README proposes.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../../src/config.ts';
import { Callers } from '../helpers/callers.ts';
import {
  endServices,
  freePort,
  startService,
  type TestService,
  until,
} from '../helpers/service.ts';
import { metricsUrl, read, scrape, settle } from './scrape.ts';

setDefaultTimeout(90_000);

/** Prometheus waits some seconds before its first scrape. */
const FOUND_MS = 30_000;

const promtool = Bun.which('promtool');
const prometheus = Bun.which('prometheus');
if (!(promtool && prometheus)) console.warn('SKIPPED: Prometheus is not installed');

const readme = readFileSync(join(projectRoot, 'README.md'), 'utf8');

/** The README's own, but for the address and the time between two scrapes. */
const configFor = ({ metricsPort }: TestService) => {
  const [, text = ''] = /```yaml\n(scrape_configs:[\s\S]*?)```/.exec(readme) ?? [];
  expect(text).toContain('127.0.0.1:9192');
  const often = 'global: { scrape_interval: 1s, scrape_timeout: 1s }\n';
  return often + text.replace('127.0.0.1:9192', `127.0.0.1:${metricsPort}`);
};

/** The first cells of the rows about alerts. */
const alerts = [...readme.matchAll(/^\| `([^`]+ (?:>|==) [\d.]+)` \|/gm)].map(
  ([, text]) => `${text}`,
);

let service: TestService;
beforeAll(async () => {
  service = await (await startService()).listening();
});
afterAll(endServices);

type Result = { metric: Record<string, string>; value: [number, string] }[];

/** Runs `use` with a Prometheus that scrapes the service, and ends it whatever happens. */
async function withPrometheus(
  use: (ask: (expression: string) => Promise<Result>) => Promise<void>,
) {
  const folder = await mkdtemp(join(tmpdir(), 'wallet-test-prometheus-'));
  await writeFile(join(folder, 'prometheus.yml'), configFor(service));
  const port = freePort();
  const options = [
    `--config.file=${join(folder, 'prometheus.yml')}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ];
  const stdio: ['ignore', 'ignore', 'ignore'] = ['ignore', 'ignore', 'ignore'];
  const child = Bun.spawn([prometheus ?? '', ...options], { stdio });
  try {
    await use(async (query) => {
      const url = `http://127.0.0.1:${port}/api/v1/query?${new URLSearchParams({ query })}`;
      const answer = (await (await fetch(url)).json()) as {
        error?: string;
        data: { result: Result };
      };
      if (answer.error) throw new Error(`${query}: ${answer.error}`);
      return answer.data.result;
    });
  } finally {
    child.kill();
    await child.exited;
    await rm(folder, { recursive: true, force: true });
  }
}

describe('Prometheus', () => {
  test.skipIf(!promtool)('has nothing to say against the text', async () => {
    const text = await (await fetch(`${metricsUrl(service)}/metrics`)).text();
    const check = Bun.spawn([promtool ?? '', 'check', 'metrics'], {
      stdin: new Blob([text]),
      stdout: 'pipe',
      stderr: 'pipe',
    });
    const said = await Promise.all([check.stdout.text(), check.stderr.text(), check.exited]);
    expect(said).toEqual(['', '', 0]);
  });

  test.skipIf(!prometheus)('finds what was counted, and nothing to alert of', async () => {
    const callers = new Callers({ urls: [`http://127.0.0.1:${service.port}`], count: 8 });
    await withPrometheus(async (ask) => {
      const holds = async (expression: string, isRight: (value: number) => boolean) => {
        const value = async () => Number((await ask(expression))[0]?.value[1]);
        await until(() => value().then(isRight, () => false), expression, FOUND_MS);
      };
      await holds('sum(rate(wallet_operations_total{outcome="ok"}[10s]))', (rate) => rate > 1);
      await callers.stop();
      await settle(service);
      const counted = await read(service, 'wallet_operations_total');
      await holds('sum(wallet_operations_total)', (value) => value === counted);

      expect(alerts.length).toBeGreaterThan(8);
      const known = new Set((await scrape(service)).map(({ name }) => name));
      const named = alerts.flatMap((alert) => alert.match(/wallet_\w+/g) ?? []);
      expect(named.filter((name) => !known.has(name))).toEqual([]);
      const alarmed = [];
      for (const alert of alerts) {
        // How slow it is depends on the machine that runs the tests.
        const isAboutTime = alert.includes('seconds');
        if ((await ask(alert)).length > 0 && !isAboutTime) alarmed.push(alert);
      }
      expect(alarmed).toEqual([]);
    }).finally(() => callers.stop());
  });
});
