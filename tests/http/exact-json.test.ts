/**
 * Exact JSON: what an integer literal becomes, and that everything else is as JSON.parse has it.
 * The properties write their texts literal by literal, so the expectation never passes through a
 * parser that rounds.
 */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { parseExactJson } from '../../src/http/exact-json.ts';

const RUNS = { numRuns: 1000 };

const parseValue = (literal: string) =>
  (parseExactJson(`{"value":${literal}}`) as { value: unknown }).value;

describe('an integer literal', () => {
  test.each([
    ...['0', '-0', '7', '-7', '999999999999999', '1000000000000000', '9007199254740991'],
    ...['9007199254740992', '9007199254740993', '-9007199254740993', '9223372036854775806'],
    ...['9223372036854775807', '9223372036854775808', '1'.repeat(39), '1'.repeat(40)],
  ])('of a property becomes a bigint of exactly its digits: %s', (literal) => {
    expect(parseValue(literal)).toBe(BigInt(literal));
  });

  test('keeps its digits beside a number that is none', () => {
    const value = parseExactJson('{"a":5,"b":5.5,"c":9007199254740993}');
    expect(value).toEqual({ a: 5n, b: 5.5, c: 9007199254740993n });
  });

  test('of more than 40 characters stays a number, however long it is', () => {
    expect(parseValue('1'.repeat(41))).toBe(Number('1'.repeat(41)));
    const started = performance.now();
    expect(parseValue('9'.repeat(1_000_000))).toBe(Number.POSITIVE_INFINITY);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

describe('any other literal', () => {
  test.each(['5.0', '5.5', '1e3', '1E3', '1e-3', '-0.0', '1e400', '9007199254740993.0'])(
    'of a number stays a number: %s',
    (literal) => {
      expect(parseValue(literal)).toBe(Number(literal));
    },
  );

  test.each(['"5"', '"9007199254740993"', 'true', 'null', '"1e3"'])('is kept: %s', (literal) => {
    expect(parseValue(literal)).toBe(JSON.parse(literal));
  });
});

test('a property called __proto__ is a plain one', () => {
  for (const literal of ['5', '9007199254740993']) {
    const value = parseExactJson(`{"__proto__":${literal}}`) as object;
    expect(Object.entries(value)).toEqual([['__proto__', BigInt(literal)]]);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
  }
});

test('of a repeated property the last counts', () => {
  expect(parseExactJson('{"a":1.5,"a":2}')).toEqual({ a: 2n });
  expect(parseExactJson('{"a":2,"a":9007199254740993}')).toEqual({ a: 9007199254740993n });
  expect(parseExactJson('{"a":2,"a":1.5}')).toEqual({ a: 1.5 });
});

/** Digits whose length is chosen first, so that all lengths around 16 and 19 are as likely. */
const integerLiteral = fc
  .tuple(fc.boolean(), fc.integer({ min: 1, max: 38 }), fc.bigInt({ min: 0n, max: 10n ** 38n }))
  .map(([negative, length, digits]) => {
    const magnitude = BigInt(String(digits).slice(0, length));
    return `${negative ? '-' : ''}${magnitude}`;
  });

const otherNumberLiteral = fc
  .tuple(integerLiteral, fc.constantFrom('.0', '.5', 'e0', 'E2', 'e-3', '.25e+1', '.0e0'))
  .map(([integer, tail]) => integer + tail);

const otherLiteral = fc.json({ maxDepth: 3 }).filter((text) => !/^-?\d/.test(text));

const properties = fc.uniqueArray(
  fc.tuple(fc.string(), fc.oneof(integerLiteral, otherNumberLiteral, otherLiteral)),
  { selector: ([name]) => name, maxLength: 6 },
);

/** What JSON.parse makes of it, but for -0, which no bigint can be. */
const rounded = (value: unknown): unknown => {
  if (typeof value === 'bigint' || typeof value === 'number') return Number(value) + 0;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(rounded);
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, rounded(one)]));
};

test('every integer of an object comes out exactly, and no other number as a bigint', () => {
  const property = fc.property(properties, (entries) => {
    const text = `{${entries.map(([name, literal]) => `${JSON.stringify(name)}:${literal}`)}}`;
    const value = parseExactJson(text) as Record<string, unknown>;
    expect(Object.keys(value).sort()).toEqual(entries.map(([name]) => name).sort());
    for (const [name, literal] of entries) {
      const got = Object.getOwnPropertyDescriptor(value, name)?.value;
      if (/^-?\d+$/.test(literal)) expect(got).toBe(BigInt(literal));
      else if (/^-?\d/.test(literal)) expect(got).toBe(Number(literal));
      else expect(rounded(got)).toEqual(rounded(JSON.parse(literal)));
    }
  });
  fc.assert(property, RUNS);
});

/** JSON with a piece cut out and another put in: about half of the texts are still JSON. */
const damagedJson = fc
  .tuple(fc.json(), fc.nat(), fc.nat({ max: 3 }), fc.constantFrom('', '1', '.', 'e', '}', '"', ' '))
  .map(([text, at, cut, piece]) => {
    const start = at % (text.length + 1);
    return text.slice(0, start) + piece + text.slice(start + cut);
  });

const outcome = (parse: () => unknown) => {
  try {
    return { value: rounded(parse()) };
  } catch (error) {
    return { error: String(error) };
  }
};

test('a text that is not JSON fails just as with JSON.parse, and any other has its value', () => {
  const property = fc.property(fc.oneof(damagedJson, fc.json(), fc.string()), (text) => {
    expect(outcome(() => parseExactJson(text))).toEqual(outcome(() => JSON.parse(text)));
  });
  fc.assert(property, RUNS);
});

test.each(['', '{', '{"a":1', '{"a":9007199254740993', '{"a":1.5,}', '{"a":01}', '[1e3', 'NaN'])(
  'a text that is not JSON is a SyntaxError: %p',
  (text) => {
    expect(() => parseExactJson(text)).toThrow(SyntaxError);
  },
);
