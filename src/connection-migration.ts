/**
 * Whether the kernel hands connections that a worker had not accepted yet to another one when it
 * stops listening. Without that a reload resets some; none of them was read.
 */
import { readFileSync } from 'node:fs';

const SETTING = '/proc/sys/net/ipv4/tcp_migrate_req';

export const NOT_MIGRATING =
  'connections that a worker has not accepted when it stops listening are reset: ' +
  'set net.ipv4.tcp_migrate_req=1';

/** Whether net.ipv4.tcp_migrate_req is on. */
export function isMigrating(): boolean {
  try {
    return readFileSync(SETTING, 'utf8').trim() === '1';
  } catch {
    return false;
  }
}
