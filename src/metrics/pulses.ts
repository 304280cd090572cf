/**
 * Looks at the service every second, and keeps the last minutes for whoever opens the page.
 * Invariant: bounded memory, whoever watches and for however long.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Look, type Pulse, pulseBetween } from './pulse.ts';

const PULSE_MS = 1000;

/** Five minutes. */
const KEPT = 300;

/** The pulses of the last minutes, and those to come. */
export class Pulses {
  readonly #look: () => Promise<Look>;
  readonly #kept: Pulse[] = [];
  readonly #watchers = new Set<(pulse: Pulse) => void>();

  constructor(look: () => Promise<Look>) {
    this.#look = look;
  }

  get kept(): readonly Pulse[] {
    return this.#kept;
  }

  /** Calls `onPulse` every second. @returns a function that ends it. */
  watch(onPulse: (pulse: Pulse) => void): () => void {
    this.#watchers.add(onPulse);
    return () => this.#watchers.delete(onPulse);
  }

  /** Looks every second until `stop`. */
  async run(stop: AbortSignal): Promise<void> {
    let before: Look | undefined;
    while (!stop.aborted) {
      await sleep(PULSE_MS, undefined, { signal: stop }).catch(() => {});
      const after = await this.#look();
      if (before) this.#tell(pulseBetween(before, after));
      before = after;
    }
  }

  #tell(pulse: Pulse): void {
    this.#kept.push(pulse);
    if (this.#kept.length > KEPT) this.#kept.shift();
    for (const onPulse of this.#watchers) onPulse(pulse);
  }
}
