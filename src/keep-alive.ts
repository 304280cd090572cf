/**
 * Keeps one thing running: when it ends, it is started again.
 * Invariant: after `stop` nothing is started; what dies young is started again only after a pause
 * that doubles, so a fault that stays does not eat the machine.
 */
import { setTimeout as sleep } from 'node:timers/promises';

/** What lived longer than this is started again at once. */
const HEALTHY_MS = 5000;
const PAUSE_MIN_MS = 100;
const PAUSE_MAX_MS = 5000;

/** @param live starts the thing and resolves when it has ended. */
export async function keepAlive(live: () => Promise<void>, stop: AbortSignal): Promise<void> {
  let pause = 0;
  while (!stop.aborted) {
    const started = Date.now();
    await live();
    const healthy = Date.now() - started > HEALTHY_MS;
    pause = healthy ? 0 : Math.min(Math.max(2 * pause, PAUSE_MIN_MS), PAUSE_MAX_MS);
    await sleep(pause, undefined, { signal: stop }).catch(() => {});
  }
}
