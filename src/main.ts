/**
 * The entry: configuration first, then a supervisor or a single worker.
 * Invariant: it ends with 0 after an orderly stop, 1 when the service cannot run, and 2 when it
 * was called or configured wrongly; each error says on stderr what to do.
 */
import { parseArgs } from 'node:util';
import { runAudit } from './audit-command.ts';
import { runBackup } from './backup-command.ts';
import { type Config, ConfigError, loadEnvironment, readConfig, unknownNames } from './config.ts';
import { askToReload } from './control-socket.ts';
import { develop } from './dev.ts';
import { createLogger, type Logger } from './log.ts';
import { runRestore } from './restore-command.ts';
import { StartError } from './start-error.ts';
import { supervise } from './supervisor.ts';
import { makeToken } from './token-command.ts';
import { runWorker } from './worker.ts';

const USAGE = `usage: bun run start|dev|audit|reload [--config FILE]
       bun run backup|restore FILE [--config FILE]
       bun run token NAME read|write [--config FILE]`;

/** The commands, and how many words each has behind it. */
const COMMANDS: Record<string, number> = {
  start: 0,
  dev: 0,
  audit: 0,
  reload: 0,
  backup: 1,
  restore: 1,
  token: 2,
  worker: 0,
};

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
  const { command, rest, file } = readCommand(words);
  if (command === 'worker') {
    const config = readConfig();
    return runWorker(config, openLog(command, config));
  }
  const environment = loadEnvironment(file);
  const config = readConfig(environment);
  if (command === 'reload') return askToReload(config.address.port);
  if (command === 'token') return makeToken(config, rest);
  const logger = openLog(command, config);
  for (const name of unknownNames(file)) logger.warn(`${name} is no setting of this service`);
  if (command === 'audit') return runAudit(config, logger);
  if (command === 'backup') return runBackup(config, logger, rest[0] as string);
  if (command === 'restore') return runRestore(config, logger, rest[0] as string);
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
  const { values, positionals } = parseWords(words);
  const [command = 'start', ...rest] = positionals;
  if (rest.length !== COMMANDS[command]) throw new ConfigError([USAGE]);
  return { command, rest, file: values.config };
}

function parseWords(args: string[]) {
  const options = { config: { type: 'string' } } as const;
  try {
    return parseArgs({ args, options, allowPositionals: true });
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
