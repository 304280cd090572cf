/**
 * Builds the HTTP application from its parts; never listens.
 * Invariant: whatever a handler throws is logged in full here and answered in brief; nothing
 * that a driver said reaches a client.
 */
import { Elysia } from 'elysia';
import type { Access } from './http/access.ts';
import { docsRoutes } from './http/docs.ts';
import { refuse } from './http/envelope.ts';
import { answerOtherMethods } from './http/methods.ts';
import { probeRoutes, type Readiness } from './http/probes.ts';
import { type OperationMeter, type WalletOptions, walletRoutes } from './http/wallets.ts';
import type { Ledger } from './ledger/ledger.ts';
import type { Logger } from './log.ts';

export interface AppParts {
  ledger: Ledger;
  readiness: Readiness;
  /** Judges requests under /api before anything else does. */
  access: Access;
  logger: Logger;
  meter: OperationMeter;
  options: WalletOptions;
}

/** Without this a Host of fewer than four characters, such as `app`, makes every path unknown. */
const ANY_HOST = { standardHostname: false };

/** @returns the application; give its `fetch` to a server. */
export function buildApp({ ledger, readiness, access, logger, meter, options }: AppParts) {
  const app = new Elysia({ strictPath: true, normalize: false, handler: ANY_HOST })
    .onError(({ code, error, request }) => {
      if (code === 'NOT_FOUND') return refuse(request, { kind: 'unknown_path' });
      const { method, url } = request;
      const token = access.nameOf(request);
      logger.error({ err: error, method, url, token }, 'request failed');
      return refuse(request, { kind: 'internal_error' });
    })
    .use(walletRoutes(ledger, access, meter, options))
    .use(probeRoutes(readiness))
    .use(docsRoutes());
  return answerOtherMethods(app);
}
