/** Medians and percentiles, and numbers as people read them. */

/** @param share from 0 to 1. @returns NaN when there are no values. */
export function quantile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = Math.ceil(share * sorted.length) - 1;
  return sorted[Math.max(0, at)] ?? Number.NaN;
}

/** The middle value, or the mean of the two in the middle. */
export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return low === undefined || high === undefined ? Number.NaN : (low + high) / 2;
}

/** Three digits behind the point are more than any of these measurements repeats. */
export function round(value: number, digits = 3): number {
  return Number(value.toFixed(digits));
}

/** 12345.6 as `12,346`. */
export function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** 0.853 as `85 %`. */
export function percent(ratio: number): string {
  return `${(100 * ratio).toFixed(0)} %`;
}

/** Milliseconds with three significant digits. */
export function milliseconds(value: number): string {
  return `${Number(value.toPrecision(3))} ms`;
}
