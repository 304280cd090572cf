/**
 * What a scrape of /metrics says, as samples.
 * Invariant: a line that is not of the text format throws.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { REPORT_MS } from '../../src/metrics/collector.ts';
import type { TestService } from '../helpers/service.ts';

type Labels = Record<string, string>;

export interface Sample {
  name: string;
  labels: Labels;
  value: number;
}

/** The address of a service's metrics and dashboard. */
export const metricsUrl = ({ metricsPort }: TestService) => `http://127.0.0.1:${metricsPort}`;

/** Longer than this a scrape must never take. */
const SCRAPE_MAX_MS = 1000;

/** One scrape. */
export async function scrape(service: TestService): Promise<Sample[]> {
  const signal = AbortSignal.timeout(SCRAPE_MAX_MS);
  const response = await fetch(`${metricsUrl(service)}/metrics`, { signal });
  if (response.status !== 200) throw new Error(`/metrics answered ${response.status}`);
  return parse(await response.text());
}

function parse(text: string): Sample[] {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return lines.map((line) => {
    const match = /^(?<name>\w+)(?:\{(?<labels>.*)\})? (?<value>\S+)$/.exec(line);
    if (!match?.groups) throw new Error(`no sample: ${line}`);
    const { name = '', labels = '', value } = match.groups;
    const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, text]) => [key, text]);
    return { name, labels: Object.fromEntries(pairs), value: Number(value) };
  });
}

/** The sum of the samples of a name that have all these labels; undefined if there are none. */
export function sumOf(samples: Sample[], name: string, labels: Labels = {}): number | undefined {
  const chosen = samples.filter((one) => {
    const has = ([key, value]: [string, string]) => one.labels[key] === value;
    return one.name === name && Object.entries(labels).every(has);
  });
  return chosen.length > 0 ? chosen.reduce((sum, { value }) => sum + value, 0) : undefined;
}

/** Waits until every worker has surely reported what it counted until now. */
export async function settle(service: TestService): Promise<void> {
  const look = async () => JSON.stringify((await scrape(service)).filter(isCounted));
  let [before, now] = ['', await look()];
  while (now !== before) {
    await sleep(2 * REPORT_MS);
    [before, now] = [now, await look()];
  }
}

const isCounted = ({ name }: Sample) => name.startsWith('wallet_operations');

/** One scrape, one number. */
export async function read(service: TestService, name: string, labels: Labels = {}) {
  return sumOf(await scrape(service), name, labels);
}
