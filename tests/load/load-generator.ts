/** What any HTTP load generator is asked, and what it answers. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Stage } from './stage.ts';

/** Requests of one kind; each picks one of the lines at random. */
export interface Traffic {
  method: 'GET' | 'POST';
  /** Bodies to post, or paths to get. */
  lines: string[];
  /** Whether each request has an Idempotency-Key of its own. */
  hasFreshKeys?: boolean;
}

export interface Load {
  traffic: Traffic;
  /** `http://host:port`. */
  base: string;
  connections: number;
  seconds: number;
  /** Requests per second, whatever the answers do; latency counts from when each was due. */
  rate?: number | undefined;
}

export interface LoadResult {
  /** Answers per second, whatever their status. */
  perSecond: number;
  ok: number;
  /** Answers other than 200, by status or by what went wrong. */
  others: Record<string, number>;
  p50Ms: number;
  p99Ms: number;
}

export interface LoadGenerator {
  name: string;
  /** Whether it waits for what is under way when the time is up, so that it counts every 200. */
  isExact: boolean;
  /** Whether it can give each request a header of its own. */
  hasFreshKeys: boolean;
  /** Whether it can keep a rate and count latency from when a request was due. */
  hasOpenLoop: boolean;
  run: (load: Load) => Promise<LoadResult>;
}

export const BODY_PATH = '/api/v1/wallets';

/** Makes a generator of what is installed. */
export type GeneratorMaker = (stage: Stage, files: TrafficFiles) => Promise<LoadGenerator | null>;

/** Traffic as files of lines, each written once. */
export class TrafficFiles {
  readonly #folder: string;
  readonly #written = new Map<Traffic, Map<string, Promise<string>>>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @param prefix put before each line. @returns the file's path. */
  path(traffic: Traffic, prefix: string): Promise<string> {
    const ofTraffic = this.#written.get(traffic) ?? new Map<string, Promise<string>>();
    this.#written.set(traffic, ofTraffic);
    const written = ofTraffic.get(prefix) ?? this.#write(traffic, prefix);
    ofTraffic.set(prefix, written);
    return written;
  }

  async #write({ lines }: Traffic, prefix: string): Promise<string> {
    const path = join(this.#folder, `traffic-${crypto.randomUUID()}`);
    await writeFile(path, lines.map((line) => `${prefix}${line}\n`).join(''));
    return path;
  }
}
