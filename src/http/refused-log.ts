/**
 * Warns of requests that were refused for want of a token.
 * Invariant: at most one line a second, whatever clients send; the next line counts those that had
 * none. Of a request only its method and its route are named: a URL may hold a secret.
 */
import type { Logger } from '../log.ts';
import { routeOf } from './routes.ts';

const LINE_MS = 1000;

/** The warnings of one worker. */
export class RefusedLog {
  readonly #logger: Logger;
  #leftOut = 0;
  #pause: NodeJS.Timeout | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** @param why what else the line says. */
  refused({ method, url }: Request, why: object): void {
    if (this.#pause) this.#leftOut += 1;
    else this.#warn({ ...why, method, route: routeOf(url) }, 'refused a request');
  }

  #warn(fields: object, text: string): void {
    this.#logger.warn(fields, text);
    this.#pause = setTimeout(() => this.#resume(), LINE_MS).unref();
  }

  #resume(): void {
    this.#pause = undefined;
    const leftOut = this.#leftOut;
    this.#leftOut = 0;
    if (leftOut > 0) this.#warn({ leftOut }, 'refused more requests');
  }
}
