/**
 * What one worker counts, by the names that Prometheus shows.
 * Invariant: labels have few values, whatever clients send; what each request counts is a tally.
 */
import { Counter, Histogram, Registry } from 'prom-client';
import { API_ROUTES } from '../http/routes.ts';
import type { Operation } from '../ledger/ledger.ts';
import { TallyCounter, TallyHistogram } from './tallies.ts';

/** Seconds. Fine where answers are, 1 to 30 ms, and up to the longest a request may take. */
const REQUEST_BUCKETS = [
  [0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075],
  [0.1, 0.2, 0.5, 1, 2, 5, 10, 20],
].flat();

const FLIGHT_BUCKETS = [
  [0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05],
  [0.1, 0.2, 0.5, 1, 2, 5, 10],
].flat();

/** Operations. */
const SIZE_BUCKETS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];

const TYPE_LABELS = { DEPOSIT: 'deposit', WITHDRAW: 'withdraw' };

/** The counters and histograms of a worker. */
export class Meter {
  readonly registry = new Registry();
  readonly #registers = [this.registry];

  readonly #requests = new TallyCounter(
    {
      name: 'wallet_http_requests_total',
      help: 'Requests answered.',
      registry: this.registry,
    },
    ['route', 'status'],
  );
  readonly #requestSeconds = new TallyHistogram(
    {
      name: 'wallet_http_request_duration_seconds',
      help: 'From reading a request to handing over its answer, unless that is a 5xx.',
      registry: this.registry,
    },
    'route',
    REQUEST_BUCKETS,
  );
  readonly #operations = new TallyCounter(
    {
      name: 'wallet_operations_total',
      help: 'Operations that reached the ledger; a replay is the answer to a key used before.',
      registry: this.registry,
    },
    ['type', 'outcome'],
  );
  readonly #flightSize = new Histogram({
    name: 'wallet_flight_operations',
    help: 'Operations that shared one commit.',
    buckets: SIZE_BUCKETS,
    registers: this.#registers,
  });
  readonly #flightSeconds = new Histogram({
    name: 'wallet_flight_duration_seconds',
    help: 'From sending a flight to its answer, all its attempts together.',
    buckets: FLIGHT_BUCKETS,
    registers: this.#registers,
  });
  readonly #resends = new Counter({
    name: 'wallet_flight_resends_total',
    help: 'Flights sent again, because an attempt was refused for now or its answer was lost.',
    labelNames: ['failure'],
    registers: this.#registers,
  });

  readonly #tokens = new Counter({
    name: 'wallet_token_requests_total',
    help: 'Requests that were let in, by the name of their token.',
    labelNames: ['token'],
    registers: this.#registers,
  });
  readonly #unauthorized = new Counter({
    name: 'wallet_unauthorized_requests_total',
    help: 'Requests without a token, with one that is not known, or with one of the wrong scope.',
    labelNames: ['reason'],
    registers: this.#registers,
  });

  constructor() {
    // What is watched begins at 0: a series that begins with its first event hides it from rate().
    for (const type of Object.values(TYPE_LABELS)) this.#operations.add(type, 'ok', 0);
    for (const route of API_ROUTES)
      for (const status of [500, 503]) this.#requests.add(route, status, 0);
    for (const failure of ['refused', 'lost']) this.#resends.inc({ failure }, 0);
  }

  /** An answer was given. */
  request(route: string, status: number, seconds: number): void {
    this.#requests.add(route, status);
    // A refusal for want of room takes no time, and would make an overload look fast.
    if (status < 500) this.#requestSeconds.observe(route, seconds);
  }

  /** The ledger answered an operation. */
  operation(type: Operation['type'], outcome: string): void {
    this.#operations.add(TYPE_LABELS[type], outcome);
  }

  /** A flight was answered. */
  landed(operations: number, seconds: number): void {
    this.#flightSize.observe(operations);
    this.#flightSeconds.observe(seconds);
  }

  /** A request came with a token that may do this. */
  token(name: string): void {
    this.#tokens.inc({ token: name });
  }

  /** A request was refused for want of such a token. */
  unauthorized(reason: string): void {
    this.#unauthorized.inc({ reason });
  }

  /** A flight has to be sent again. */
  resent(failure: string): void {
    this.#resends.inc({ failure });
  }
}
