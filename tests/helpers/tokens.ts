/** API tokens for tests. */
import { createHash, randomBytes } from 'node:crypto';
import type { Scope, Token } from '../../src/token-file.ts';

/** Such as `bun run token` makes. */
const newSecret = () => `wallet_${randomBytes(32).toString('base64url')}`;

/** A token, the header that carries its secret, and its line in a file. */
export function newToken(name: string, scope: Scope, secret = newSecret()) {
  const sha256 = createHash('sha256').update(secret).digest('hex');
  const token: Token = { name, scope, sha256 };
  const headers = { authorization: `Bearer ${secret}` };
  return { token, secret, headers, line: `${name} ${scope} ${sha256}\n` };
}
