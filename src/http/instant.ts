/**
 * Reads a time as RFC 3339 writes it.
 * Invariant: what it returns is not later than what was asked for, by less than a microsecond.
 */

const TIME =
  /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([-+ ])(\d\d):(\d\d))$/;

/**
 * In UTC and microseconds, the database's own unit; undefined if it is no time. A space counts as
 * the plus that it was before a URL was decoded.
 */
export function parseInstant(text: string): string | undefined {
  const parts = TIME.exec(text);
  if (!parts) return undefined;
  const [year, month, day, hour, minute, second, offsetHours, offsetMinutes] = [
    ...[1, 2, 3, 4, 5, 6, 9, 10].map((at) => Number(parts[at] ?? 0)),
  ] as [number, number, number, number, number, number, number, number];
  const isLeapSecond = second === 60;
  const midnight = new Date(0);
  midnight.setUTCFullYear(year, month - 1, day);
  const isDate = midnight.getUTCMonth() === month - 1 && midnight.getUTCDate() === day;
  if (!isDate || hour > 23 || minute > 59 || second > 60) return undefined;
  if (offsetHours > 23 || offsetMinutes > 59) return undefined;
  const offset = (offsetHours * 60 + offsetMinutes) * (parts[8] === '-' ? -1 : 1);
  const seconds = isLeapSecond ? 59 : second;
  const utc = new Date(midnight.getTime() + ((hour * 60 + minute - offset) * 60 + seconds) * 1000);
  if (utc.getUTCFullYear() < 1 || utc.getUTCFullYear() > 9999) return undefined;
  const fraction = isLeapSecond ? '999999' : (parts[7] ?? '').slice(0, 6);
  return `${utc.toISOString().slice(0, 19)}.${fraction.padEnd(6, '0')}Z`;
}
