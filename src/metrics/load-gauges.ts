/**
 * What waits in a worker and what its connections do, as gauges.
 * Invariant: they are read when a report is made; between reports they cost nothing.
 */
import { Gauge, type Registry } from 'prom-client';
import type { LedgerLoad } from '../ledger/group-commit-ledger.ts';

interface Reading {
  name: string;
  help: string;
  label: 'queue' | 'use';
  values: (load: LedgerLoad) => { name: string; value: number }[];
}

const queues = (number: 'length' | 'limit') => (load: LedgerLoad) =>
  load.queues.map((queue) => ({ name: queue.name, value: queue[number] }));

const connections = (number: 'open' | 'busy' | 'limit') => (load: LedgerLoad) =>
  load.connections.map((use) => ({ name: use.name, value: use[number] }));

const READINGS: Reading[] = [
  {
    name: 'wallet_queue_length',
    help: 'Calls that wait for a turn at the database.',
    label: 'queue',
    values: queues('length'),
  },
  {
    name: 'wallet_queue_limit',
    help: 'Calls that may wait before the next is refused.',
    label: 'queue',
    values: queues('limit'),
  },
  {
    name: 'wallet_database_connections_open',
    help: 'Connections of the workers that stand.',
    label: 'use',
    values: connections('open'),
  },
  {
    name: 'wallet_database_connections_busy',
    help: 'Connections of the workers with a statement on its way.',
    label: 'use',
    values: connections('busy'),
  },
  {
    name: 'wallet_database_connections_limit',
    help: 'Connections that the workers may open.',
    label: 'use',
    values: connections('limit'),
  },
];

/** Adds the gauges of a ledger's load to a registry. */
export function addLoadGauges(registry: Registry, load: () => LedgerLoad): void {
  for (const { name, help, label, values } of READINGS) {
    new Gauge({
      name,
      help,
      labelNames: [label],
      registers: [registry],
      collect() {
        for (const { name: key, value } of values(load())) this.set({ [label]: key }, value);
      },
    });
  }
}
