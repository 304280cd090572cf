/**
 * The file of API tokens, one a line: `NAME SCOPE SHA256`, the last in hexadecimal digits.
 * Invariant: of a secret only its hash is kept, and a fault repeats nothing that the file holds,
 * because a secret may have been put there by mistake.
 */
import { readFileSync } from 'node:fs';
import { ConfigError } from './config.ts';

export const SCOPES = ['read', 'write'] as const;

/** `write` may read as well. */
export type Scope = (typeof SCOPES)[number];

export interface Token {
  /** What the log and the metrics call it. */
  name: string;
  scope: Scope;
  /** Of the secret, in hexadecimal digits. */
  sha256: string;
}

/** Who may use the API. No tokens is nobody. */
export type Admission = 'everybody' | Token[];

export const NAME = /^[A-Za-z0-9._-]{1,64}$/;

const SHA256 = /^[0-9a-fA-F]{64}$/;

/** Each request is compared with every token, at 30 ns each. */
export const TOKENS_MAX = 1000;

/**
 * The tokens that a file lists; blank lines and those that begin with # do not count.
 * @throws ConfigError with every fault, by its line.
 */
export function readTokens(path: string): Token[] {
  const tokens: Token[] = [];
  const faults: string[] = [];
  const lines = readText(path).split('\n');
  const seen = new Map<string, number>();
  for (const [at, line] of lines.map((text) => text.trim()).entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const [name = '', scope = '', sha256 = '', ...rest] = line.split(/\s+/);
    const hash = sha256.toLowerCase();
    tokens.push({ name, scope: scope as Scope, sha256: hash });
    const wrong = [
      ...(rest.length > 0 ? ['must have three words, NAME SCOPE SHA256'] : []),
      ...(NAME.test(name) ? [] : ['NAME must be 1 to 64 of A-Z, a-z, 0-9, ".", "_" and "-"']),
      ...(isScope(scope) ? [] : ['SCOPE must be read or write']),
      ...(SHA256.test(hash) ? [] : ['SHA256 must be 64 hexadecimal digits']),
      ...repeated(seen, 'NAME', name, at),
      ...repeated(seen, 'SHA256', hash, at),
    ];
    faults.push(...wrong.map((fault) => `line ${at + 1}: ${fault}`));
  }
  if (tokens.length > TOKENS_MAX) faults.push(`must have at most ${TOKENS_MAX} tokens`);
  if (faults.length > 0) throw tokenFault(...faults);
  return tokens;
}

/** Whether a word is the name of a scope. */
export const isScope = (word: string): word is Scope => SCOPES.some((scope) => scope === word);

/** What is wrong with the file, or keeps a token out of it. */
export const tokenFault = (...faults: string[]) =>
  new ConfigError(faults.map((fault) => `API_TOKENS_FILE: ${fault}`));

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw tokenFault(`cannot be read: ${(error as Error).message}`);
  }
}

function repeated(seen: Map<string, number>, column: string, word: string, at: number) {
  const first = seen.get(`${column} ${word}`);
  if (first !== undefined) return [`${column} is that of line ${first + 1}`];
  if (word !== '') seen.set(`${column} ${word}`, at);
  return [];
}
