/**
 * What SIGHUP means to the service: to read its files again; or, when it says that the terminal is
 * closed in which the service was started by hand, to stop.
 * Invariant: from here on it ends the process in no other way.
 */
import { closeSync, openSync } from 'node:fs';

/** @param reload what to do with each SIGHUP that does not stop the service. */
export function onHangUp(reload: () => void): void {
  const hadTerminal = process.stdout.isTTY && hasTerminal();
  process.on('SIGHUP', () => {
    if (hadTerminal && !hasTerminal()) process.kill(process.pid, 'SIGTERM');
    else reload();
  });
}

/** Whether there is a terminal from which the process can be stopped by Ctrl-C. */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}
