/**
 * The entry: configuration first, then a supervisor or a single worker.
 * Invariant: it ends with 0 after an orderly stop, 1 when the service cannot run, and 2 when it
 * was called or configured wrongly; each error says on stderr what to do.
 */
import { parseArgs } from 'node:util';
import { runAudit } from './audit-command.ts';
import { runBackup } from './backup-command.ts';
import { type Config, ConfigError, loadEnvironment, readConfig } from './config.ts';
import { develop } from './dev.ts';
import { createLogger, type Logger } from './log.ts';
import { runRestore } from './restore-command.ts';
import { StartError } from './start-error.ts';
import { supervise } from './supervisor.ts';
import { runWorker } from './worker.ts';

const USAGE = 'usage: bun run start|dev|audit|backup FILE|restore FILE [--config FILE]';

const COMMANDS = ['start', 'dev', 'audit', 'worker'];

/** Commands that take the name of a file. */
const FILE_COMMANDS: Record<string, typeof runBackup> = { backup: runBackup, restore: runRestore };

/** A launcher such as `bun run` may pass on a Ctrl-C that the terminal sent us as well. */
const SAME_SIGNAL_MS = 300;

try {
  await main(process.argv.slice(2));
  process.exit(0);
} catch (error) {
  const text = error instanceof StartError ? error.message : Bun.inspect(error);
  process.stderr.write(`${text}\n`);
  process.exit(error instanceof ConfigError ? 2 : 1);
}

async function main(words: string[]): Promise<void> {
  const { command, name, file } = readCommand(words);
  if (command === 'worker') {
    const config = readConfig();
    return runWorker(config, openLog(command, config));
  }
  const environment = loadEnvironment(file);
  const config = readConfig(environment);
  const logger = openLog(command, config);
  if (command === 'audit') return runAudit(config, logger);
  const runWithFile = FILE_COMMANDS[command];
  if (runWithFile) return runWithFile(config, logger, name);
  const run = command === 'dev' ? develop : supervise;
  await run({ config, environment, logger, ...stopSignals() });
}

function openLog(command: string, { logLevel }: Config): Logger {
  const logger = createLogger(command === 'start' ? 'supervisor' : command, logLevel);
  // postgres.js can throw out of band when a socket dies; that is no reason to end.
  process.on('uncaughtException', (err) => logger.error({ err }, 'uncaught exception'));
  process.on('unhandledRejection', (err) => logger.error({ err }, 'unhandled rejection'));
  return logger;
}

function readCommand(words: string[]) {
  const options = { config: { type: 'string' } } as const;
  try {
    const { values, positionals } = parseArgs({ args: words, options, allowPositionals: true });
    const [command = 'start', name = '', ...rest] = positionals;
    const isKnown =
      name === '' ? COMMANDS.includes(command) : Object.hasOwn(FILE_COMMANDS, command);
    if (!isKnown || rest.length > 0) throw new Error(USAGE);
    return { command, name, file: values.config };
  } catch (error) {
    throw new ConfigError([(error as Error).message, USAGE]);
  }
}

/** The first SIGTERM or SIGINT, or the loss of `bun run dev`, aborts `stop`, the second `force`. */
function stopSignals(): { stop: AbortSignal; force: AbortSignal } {
  const [stop, force] = [new AbortController(), new AbortController()];
  let stoppedAt = 0;
  const onSignal = () => {
    if (stop.signal.aborted && Date.now() - stoppedAt > SAME_SIGNAL_MS) force.abort();
    if (!stop.signal.aborted) stoppedAt = Date.now();
    stop.abort();
  };
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal).on('disconnect', onSignal);
  return { stop: stop.signal, force: force.signal };
}
