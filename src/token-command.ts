/**
 * `bun run token NAME SCOPE`: makes an API token, and adds its line to API_TOKENS_FILE.
 * Invariant: the secret is printed once, alone on stdout, and kept nowhere; the lines that are
 * there stay as they are.
 */
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import type { Config } from './config.ts';
import { isScope, NAME, readTokens, TOKENS_MAX, tokenFault } from './token-file.ts';

/** By which programs that look for secrets in texts find this one. */
const PREFIX = 'wallet_';

const SECRET_BYTES = 32;

/** @throws ConfigError when the token cannot be added; nothing is written then. */
export function makeToken({ tokensFile }: Config, [name = '', scope = '']: string[]): void {
  if (tokensFile === undefined) throw tokenFault('must be set');
  const tokens = existsSync(tokensFile) ? readTokens(tokensFile) : [];
  const wrong = [
    ...(NAME.test(name) ? [] : ['NAME must be 1 to 64 of A-Z, a-z, 0-9, ".", "_" and "-"']),
    ...(isScope(scope) ? [] : ['SCOPE must be read or write']),
    ...(tokens.some((one) => one.name === name) ? [`has a token of the name ${name}`] : []),
    ...(tokens.length >= TOKENS_MAX ? [`must have at most ${TOKENS_MAX} tokens`] : []),
  ];
  if (wrong.length > 0) throw tokenFault(...wrong);
  const secret = PREFIX + randomBytes(SECRET_BYTES).toString('base64url');
  append(tokensFile, `${name} ${scope} ${createHash('sha256').update(secret).digest('hex')}`);
  process.stdout.write(`${secret}\n`);
  process.stderr.write(`SIGHUP makes the token ${name} known to a service that is running\n`);
}

/** In one write, so that what is added at the same time stays whole. */
function append(path: string, line: string): void {
  try {
    const file = openSync(path, 'a', 0o600);
    const text = readFileSync(path, 'utf8');
    const isOpen = text !== '' && !text.endsWith('\n');
    writeSync(file, `${isOpen ? '\n' : ''}${line}\n`);
    closeSync(file);
  } catch (error) {
    throw tokenFault(`cannot be written: ${(error as Error).message}`);
  }
}
