/**
 * The file of CA certificates that DB_SSL_CA_FILE names.
 * Invariant: what is returned has at least one certificate.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { ConfigError } from './config.ts';
import type { ServerTls } from './server-tls.ts';

/**
 * The certificates in PEM; undefined where no file is named.
 * @throws ConfigError when there are none in it, or it cannot be read.
 */
export function readCa(tls: ServerTls | undefined): string | undefined {
  const path = tls?.caFile;
  if (path === undefined) return undefined;
  try {
    const text = readFileSync(path, 'utf8');
    new X509Certificate(text);
    return text;
  } catch (error) {
    const { message } = error as Error;
    throw new ConfigError([
      `DB_SSL_CA_FILE: must be a file of PEM certificates: ${path}: ${message}`,
    ]);
  }
}
