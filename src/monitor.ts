/**
 * Watches the service for Prometheus and for people: gathers what the workers report, asks the
 * database every second whether it is there, and shows both.
 * Invariant: nothing that serves a client waits for it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { type Config, METRICS_ADDRESS_DEFAULT } from './config.ts';
import { Probe } from './database/probe.ts';
import type { Logger } from './log.ts';
import { Collector } from './metrics/collector.ts';
import { type MetricsSource, serveMetrics } from './metrics/metrics-server.ts';
import { watchProcess } from './metrics/process-watch.ts';
import type { Look } from './metrics/pulse.ts';
import { Pulses } from './metrics/pulses.ts';
import {
  addServiceGauges,
  type NamedProcess,
  type ServiceCounters,
} from './metrics/service-gauges.ts';
import { watchTroubles } from './metrics/troubles.ts';
import { urlOf } from './server.ts';
import type { ServerAddress } from './server-address.ts';
import type { HostAndPort } from './settings.ts';

const PROBE_MS = 1000;

export interface Monitor {
  collector: Collector;
  countDeath: ServiceCounters['countDeath'];
  stop: () => Promise<void>;
}

/**
 * Starts to watch.
 * @param workers those that are there now; not called before this returns.
 * @throws StartError when METRICS_ADDRESS was chosen and cannot be listened on.
 */
export function startMonitor(
  server: ServerAddress,
  workers: () => { number: number; pid: number }[],
  { metricsAddress }: Config,
  logger: Logger,
): Monitor {
  const stopping = new AbortController();
  const collector = new Collector();
  const database = watchDatabase(server, stopping.signal);
  const lookAtUs = watchProcess();
  const own = new Registry();
  let us = lookAtUs();
  const processes = (): NamedProcess[] => [
    { name: 'supervisor', pid: process.pid, state: us },
    ...workers().map(({ number, pid }) => {
      return { name: `worker-${number}`, pid, state: collector.processOf(pid) };
    }),
  ];
  const counters = addServiceGauges(own, { processes, isDatabaseUp: database.isUp });
  const look = async (): Promise<Look> => {
    us = lookAtUs();
    counters.countSpent();
    const metrics = await collector.sums().getMetricsAsJSON();
    return { at: Date.now(), metrics, isDatabaseUp: database.isUp(), processes: processes() };
  };
  const pulses = new Pulses(look);
  const text = () => Registry.merge([collector.sums(), own]).metrics();
  const close = showMetrics(metricsAddress, { text, pulses }, logger);
  pulses.watch(watchTroubles(logger));
  const running = pulses.run(stopping.signal);
  return {
    collector,
    countDeath: counters.countDeath,
    stop: async () => {
      stopping.abort();
      close?.();
      await Promise.all([running, database.ended]);
    },
  };
}

function showMetrics({ host, port }: HostAndPort, source: MetricsSource, logger: Logger) {
  const isDefault = `${host}:${port}` === METRICS_ADDRESS_DEFAULT;
  const close = serveMetrics({ host, port }, isDefault, source);
  if (close) logger.info(`metrics and dashboard on ${urlOf({ host, port })}`);
  else logger.warn(`the default METRICS_ADDRESS ${host}:${port} is taken: no metrics; set another`);
  return close;
}

function watchDatabase(server: ServerAddress, stop: AbortSignal) {
  const probe = new Probe(server);
  let isUp = true;
  const watch = async () => {
    while (!stop.aborted) {
      isUp = await probe.answers();
      await sleep(PROBE_MS, undefined, { signal: stop }).catch(() => {});
    }
    await probe.close();
  };
  return { isUp: () => isUp, ended: watch() };
}
