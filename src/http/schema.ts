/**
 * The shapes of requests and answers: the one truth for validation, types and documentation.
 * Invariant: a property's `description` completes the sentence "<name>: must be …", which is the
 * fault that a client reads when the property is wrong.
 */
import { Kind, type Static, type TSchema, Type, TypeRegistry } from 'typebox';
import { TypeCompiler } from 'typebox/compiler';
import { INTEGER_MAX, OPERATION_TYPES } from '../ledger/ledger.ts';
import type { PropertyFault, Refusal } from './refusals.ts';

TypeRegistry.Set<{ enum: readonly unknown[] }>('Choice', (schema, value) =>
  schema.enum.includes(value),
);

/** Prints its digits in JSON, where a number would round them. */
const exact = (value: bigint) =>
  (JSON as unknown as { rawJSON(text: string): number }).rawJSON(String(value));

/** A bigint from 1 to a maximum; in JSON an integer literal without fraction or exponent. */
const ExactInteger = (example: number, greatest = INTEGER_MAX) => {
  const kind = `IntegerUpTo${greatest}`;
  TypeRegistry.Set(
    kind,
    (_schema, value) => typeof value === 'bigint' && value >= 1n && value <= greatest,
  );
  return Type.Unsafe<bigint>({
    [Kind]: kind,
    type: 'integer',
    format: 'int64',
    minimum: 1,
    maximum: exact(greatest),
    description: `an integer from 1 to ${greatest}`,
    example,
  });
};

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

/** From 0; only answered, never checked. */
const Balance = (description: string) =>
  Type.Unsafe<bigint>({
    type: 'integer',
    format: 'int64',
    minimum: 0,
    maximum: exact(INTEGER_MAX),
    description,
    example: 42,
  });

/** A balance as it is answered. */
export const Wallet = Type.Object({
  id: ExactInteger(1),
  amount: Balance('the balance, in the smallest unit of the currency'),
});

/** A page of a wallet's history as it is answered. */
export const OperationsPage = Type.Object({
  operations: Type.Array(
    Type.Object({
      version: ExactInteger(1),
      operationType: Choice(OPERATION_TYPES),
      amount: ExactInteger(42),
      balance: Balance('the balance right after this operation'),
      createdAt: Type.String({ format: 'date-time' }),
      idempotencyKey: Type.Optional(Type.String()),
    }),
  ),
  next: Type.Unsafe<bigint | null>({
    type: 'integer',
    format: 'int64',
    nullable: true,
    minimum: 2,
    maximum: exact(INTEGER_MAX),
    description: 'the `before` of the page behind; null on the last page',
  }),
});

/** A refusal as problem details (RFC 9457). */
export const Problem = Type.Object({
  type: Type.String({ description: 'a reference that is stable for this kind of refusal' }),
  title: Type.String(),
  status: Type.Integer({ minimum: 400, maximum: 599 }),
  detail: Type.String({ description: 'what the envelope has as its message' }),
  balance: Type.Optional(Balance('of the wallet, where a withdrawal asked for more')),
  shortfall: Type.Optional(ExactInteger(1)),
  errors: Type.Optional(
    Type.Array(
      Type.Object({
        pointer: Type.String({ description: 'the JSON Pointer of a property of the body' }),
        detail: Type.String(),
      }),
    ),
  ),
});

const PAGE_LIMIT_MAX = 1000n;

/** The query of GET /api/v1/wallets/{id}/operations. */
export const PageQuery = Type.Object({
  limit: ExactInteger(50, PAGE_LIMIT_MAX),
  before: ExactInteger(100),
});

/** The query of GET /api/v1/wallets/{id}. */
export const VersionQuery = Type.Object({ version: ExactInteger(1) });

export type Decoded<Value> = { value: Value } | { refusal: Refusal };

/**
 * A decoder for an object schema. Unknown properties are ignored.
 * @returns from the decoder, the value, or every fault in the order of the schema's properties,
 *   joined by `; `.
 */
export function decoder<Schema extends ReturnType<typeof Type.Object>>(schema: Schema) {
  const properties = Object.entries<TSchema>(schema.properties).map(([property, type]) => ({
    property,
    fault: `must be ${type.description}`,
    check: TypeCompiler.Compile(type),
  }));
  return (value: object): Decoded<Static<Schema>> => {
    const faults = properties.filter(({ property, check }) => {
      return !check.Check((value as Record<string, unknown>)[property]);
    });
    if (faults.length === 0) return { value: value as Static<Schema> };
    return { refusal: invalid(faults) };
  };
}

/** The refusal of a request for all that is wrong with it. */
export function invalid(all: PropertyFault[]): Refusal {
  const faults = all.map(({ property, fault }) => ({ property, fault }));
  const reason = faults.map(({ property, fault }) => `${property}: ${fault}`).join('; ');
  return { kind: 'invalid_request', reason, faults };
}
