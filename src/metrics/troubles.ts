/**
 * Tells the log when trouble begins and when it has ended, as the pulses show it.
 * Invariant: two lines for each trouble, however long it lasts and whatever flickers meanwhile.
 */
import type { Logger } from '../log.ts';
import type { Pulse } from './pulse.ts';

interface Trouble {
  isThere: (pulse: Pulse) => boolean;
  begins: string;
  ends: string;
}

/** A process that kept something waiting for this long hangs. */
const HANG_SECONDS = 2;

/** Pulses without it, after which a trouble has ended. */
const QUIET = 10;

const TROUBLES: Trouble[] = [
  {
    isThere: ({ isDatabaseUp }) => !isDatabaseUp,
    begins: 'the database does not answer',
    ends: 'the database answers again',
  },
  {
    isThere: ({ statuses }) => (statuses['503'] ?? 0) > 0,
    begins: 'requests are answered with 503',
    ends: 'requests are no longer answered with 503',
  },
  {
    isThere: ({ processes }) =>
      processes.some(({ state }) => state && state.lagSeconds > HANG_SECONDS),
    begins: 'a process hangs',
    ends: 'no process hangs any more',
  },
];

/** @returns a function that is to be given each pulse. */
export function watchTroubles(logger: Logger): (pulse: Pulse) => void {
  const quiet = new Map<Trouble, number>();
  return (pulse) => {
    for (const trouble of TROUBLES) {
      const since = quiet.get(trouble);
      if (trouble.isThere(pulse)) {
        if (since === undefined) logger.warn(factsOf(pulse), trouble.begins);
        quiet.set(trouble, 0);
      } else if (since !== undefined) {
        quiet.set(trouble, since + 1);
        if (since + 1 < QUIET) continue;
        quiet.delete(trouble);
        logger.info(factsOf(pulse), trouble.ends);
      }
    }
  };
}

const factsOf = ({ operations, queue, queueLimit, statuses, processes }: Pulse) => ({
  operationsPerSecond: Math.round(operations),
  refusedPerSecond: Math.round(statuses['503'] ?? 0),
  queue,
  queueLimit,
  lagSeconds: Object.fromEntries(
    processes.map(({ name, pid, state }) => [`${name} (${pid})`, state?.lagSeconds]),
  ),
});
