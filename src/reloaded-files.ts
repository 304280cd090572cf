/**
 * What the service reads from files, at its start and again on SIGHUP: the API tokens, and the CA
 * certificates by which it knows its database.
 * Invariant: what is in force was right as a whole; files that are broken or gone change nothing.
 */
import { readCa } from './ca-file.ts';
import { type Config, ConfigError } from './config.ts';
import type { Logger } from './log.ts';
import { type Admission, readTokens, SCOPES } from './token-file.ts';

export interface FileContents {
  admission: Admission;
  ca: string | undefined;
}

/** The contents in force. */
export class ReloadedFiles {
  /** Called when all was read again and is right. */
  onReload = () => {};
  readonly #config: Config;
  readonly #logger: Logger;
  #contents: FileContents;

  /** @throws ConfigError with every fault. */
  constructor(config: Config, logger: Logger) {
    this.#config = config;
    this.#logger = logger;
    this.#contents = this.#read();
    warnIfOpen(config, logger);
  }

  get contents(): FileContents {
    return this.#contents;
  }

  /** Reads all again; a fault is logged. */
  reload(): void {
    try {
      this.#contents = this.#read();
      this.onReload();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const faults = error.message.split('\n');
      this.#logger.error({ faults }, 'files are wrong; what was read before stays in force');
    }
  }

  #read(): FileContents {
    const tls = this.#config.server?.tls;
    const ca = readCa(tls);
    const admission = this.#readAdmission();
    if (tls) tls.ca = ca;
    return { admission, ca };
  }

  #readAdmission(): Admission {
    const { tokensFile } = this.#config;
    if (tokensFile === undefined) return 'everybody';
    const tokens = readTokens(tokensFile);
    const counts = SCOPES.map((scope) => [scope, tokens.filter((one) => one.scope === scope)]);
    const fields = Object.fromEntries(counts.map(([scope, those]) => [scope, those?.length]));
    this.#logger.info(fields, 'read the API tokens');
    return tokens;
  }
}

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|::1)$/;

function warnIfOpen({ address, tokensFile }: Config, logger: Logger): void {
  if (tokensFile !== undefined || LOOPBACK.test(address.host)) return;
  logger.warn(
    'APP_ADDRESS is open to other machines, and without API_TOKENS_FILE to everybody there',
  );
}
