/**
 * The shapes of requests and answers: the one truth for validation, types and documentation.
 * Invariant: a property's `description` completes the sentence "<name>: must be …", which is the
 * fault that a client reads when the property is wrong.
 */
import { Kind, type Static, type TSchema, Type, TypeRegistry } from 'typebox';
import { TypeCompiler } from 'typebox/compiler';
import { INTEGER_MAX, OPERATION_TYPES } from '../ledger/ledger.ts';

TypeRegistry.Set(
  'ExactInteger',
  (_schema, value) => typeof value === 'bigint' && value >= 1n && value <= INTEGER_MAX,
);

TypeRegistry.Set<{ enum: readonly unknown[] }>('Choice', (schema, value) =>
  schema.enum.includes(value),
);

/** Prints its digits in JSON, where a number would round them. */
const exactMaximum = (JSON as unknown as { rawJSON(text: string): number }).rawJSON(
  String(INTEGER_MAX),
);

/** A bigint from 1 to 2^63-1; in JSON an integer literal without fraction or exponent. */
const ExactInteger = (example: number) =>
  Type.Unsafe<bigint>({
    [Kind]: 'ExactInteger',
    type: 'integer',
    format: 'int64',
    minimum: 1,
    maximum: exactMaximum,
    description: `an integer from 1 to ${INTEGER_MAX}`,
    example,
  });

/** One of a few words, case-sensitive. */
const Choice = <Word extends string>(words: readonly Word[]) =>
  Type.Unsafe<Word>({
    [Kind]: 'Choice',
    type: 'string',
    enum: words,
    description: words.join(' or '),
    example: words[0],
  });

/** The body of POST /api/v1/wallets. */
export const OperationBody = Type.Object({
  walletID: ExactInteger(1),
  operationType: Choice(OPERATION_TYPES),
  amount: ExactInteger(42),
});

/** The path of GET /api/v1/wallets/{id}. */
export const WalletPath = Type.Object({ id: ExactInteger(1) });

/** A balance as it is answered. */
export const Wallet = Type.Object({
  id: ExactInteger(1),
  amount: Type.Unsafe<bigint>({
    type: 'integer',
    format: 'int64',
    minimum: 0,
    maximum: exactMaximum,
    description: 'the balance, in the smallest unit of the currency',
    example: 42,
  }),
});

export type Decoded<Value> = { value: Value } | { faults: string };

/**
 * A decoder for an object schema. Unknown properties are ignored.
 * @returns from the decoder, the value, or every fault in the order of the schema's properties,
 *   joined by `; `.
 */
export function decoder<Schema extends ReturnType<typeof Type.Object>>(schema: Schema) {
  const properties = Object.entries<TSchema>(schema.properties).map(([name, property]) => ({
    name,
    fault: `${name}: must be ${property.description}`,
    check: TypeCompiler.Compile(property),
  }));
  return (value: object): Decoded<Static<Schema>> => {
    const faults = properties.filter(({ name, check }) => {
      return !check.Check((value as Record<string, unknown>)[name]);
    });
    if (faults.length === 0) return { value: value as Static<Schema> };
    return { faults: faults.map(({ fault }) => fault).join('; ') };
  };
}
