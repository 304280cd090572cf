/**
 * The entry: configuration first, then a supervisor or a single worker.
 * Invariant: it ends with 0 after an orderly stop, 1 when the service cannot run, and 2 when it
 * was called or configured wrongly; each error says on stderr what to do.
 */
import { parseArgs } from 'node:util';
import { ConfigError, loadEnvironment, readConfig } from './config.ts';
import { createLogger } from './log.ts';
import { supervise } from './supervisor.ts';
import { runWorker } from './worker.ts';

const USAGE = 'usage: bun run start [--config FILE]';

/** A launcher such as `bun run` may pass on a Ctrl-C that the terminal sent us as well. */
const SAME_SIGNAL_MS = 300;

try {
  await main(process.argv.slice(2));
  process.exit(0);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exit(error instanceof ConfigError ? 2 : 1);
}

async function main(words: string[]): Promise<void> {
  const { command, file } = readCommand(words);
  // A worker's supervisor has read the file already and hands its variables on.
  const environment = command === 'worker' ? process.env : loadEnvironment(file);
  const config = readConfig(environment);
  const logger = createLogger(command === 'worker' ? 'worker' : 'supervisor', config.logLevel);
  // postgres.js can throw out of band when a socket dies; that is no reason to end.
  process.on('uncaughtException', (err) => logger.error({ err }, 'uncaught exception'));
  process.on('unhandledRejection', (err) => logger.error({ err }, 'unhandled rejection'));
  if (command === 'worker') return runWorker(config, logger);
  return supervise({ config, environment, logger, ...stopSignals() });
}

function readCommand(words: string[]) {
  const options = { config: { type: 'string' } } as const;
  try {
    const { values, positionals } = parseArgs({ args: words, options, allowPositionals: true });
    const [command = 'start', ...rest] = positionals;
    if (!['start', 'worker'].includes(command) || rest.length > 0) throw new Error(USAGE);
    return { command, file: values.config };
  } catch (error) {
    throw new ConfigError([(error as Error).message, USAGE]);
  }
}

/** The first SIGTERM or SIGINT aborts `stop`, the second one `force`. */
function stopSignals(): { stop: AbortSignal; force: AbortSignal } {
  const [stop, force] = [new AbortController(), new AbortController()];
  let stoppedAt = 0;
  const onSignal = () => {
    if (stop.signal.aborted && Date.now() - stoppedAt > SAME_SIGNAL_MS) force.abort();
    if (!stop.signal.aborted) stoppedAt = Date.now();
    stop.abort();
  };
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  return { stop: stop.signal, force: force.signal };
}
