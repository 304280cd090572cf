/**
 * Parses JSON without rounding an integer.
 * Invariant: a property that was written as an integer literal is a bigint of exactly its digits;
 * any other number stays a JavaScript number, which no schema of this service accepts.
 */

/**
 * A text without these cannot hold a number that JSON.parse rounds or that hides its literal:
 * 16 digits in a row may pass 2^53, and `.`, `e` or `E` after a digit is no integer literal.
 */
const NEEDS_LITERALS = /\d{16}|\d[.eE]/;

const INTEGER_LITERAL = /^-?\d+$/;

/**
 * Longer integers stay numbers: no bound here has more than 19 digits, and making a bigint of a
 * long literal costs more than linear time.
 */
const INTEGER_LITERAL_MAX_LENGTH = 40;

type Reviver = (key: string, value: unknown, context: { source?: string }) => unknown;

const withLiterals: Reviver = (_key, value, { source }) => {
  if (typeof value !== 'number' || source === undefined) return value;
  const exact = source.length <= INTEGER_LITERAL_MAX_LENGTH && INTEGER_LITERAL.test(source);
  return exact ? BigInt(source) : value;
};

/**
 * @returns the value; integers are bigints at least where they are properties of the outermost
 *   object.
 * @throws SyntaxError when the text is not JSON.
 */
export function parseExactJson(text: string): unknown {
  if (NEEDS_LITERALS.test(text)) {
    return JSON.parse(text, withLiterals as (key: string, value: unknown) => unknown);
  }
  const value = JSON.parse(text);
  if (typeof value !== 'object' || value === null) return value;
  for (const key of Object.keys(value)) {
    if (typeof value[key] === 'number') value[key] = BigInt(value[key]);
  }
  return value;
}
