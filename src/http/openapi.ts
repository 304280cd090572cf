/**
 * Describes each operation for the OpenAPI document, out of the same schemas and the same registry
 * that the code runs on. Invariant: every status a route can answer is named, with an example of
 * each refusal.
 */
import { type TSchema, Type } from 'typebox';
import { type RefusalEntry, type RefusalKind, refusals } from './refusals.ts';
import { OperationBody, Wallet, WalletPath } from './schema.ts';

const Success = Type.Object({
  success: Type.Boolean({ enum: [true] }),
  message: Type.String({ enum: [''] }),
  data: Wallet,
});

const Failure = Type.Object({
  success: Type.Boolean({ enum: [false] }),
  message: Type.String({ description: 'what was wrong, or what happened' }),
  data: Type.Unsafe<null>({ type: 'object', nullable: true, enum: [null] }),
});

const REASON_OF_EXAMPLE: Partial<Record<RefusalKind, string>> = {
  invalid_request: 'amount: must be an integer from 1 to 9223372036854775807',
  not_applied: 'the database is away',
  outcome_unknown: 'the database did not answer in time',
};

const json = (schema: TSchema, examples: Record<string, { value: unknown }>) => ({
  'application/json': { schema, examples },
});

/** The answers of a route: 200 with a wallet, and its refusals gathered by status. */
function responses(kinds: RefusalKind[], reasons = REASON_OF_EXAMPLE) {
  const byStatus = Map.groupBy(kinds, (kind) => refusals[kind].status);
  const refused = [...byStatus].map(([status, group]) => {
    const examples = group.map((kind) => {
      const message = refusals[kind].message + (reasons[kind] ?? '');
      return [kind, { value: { success: false, message, data: null } }] as const;
    });
    const { retryAfter }: RefusalEntry = refusals[group[0] as RefusalKind];
    return [
      status,
      {
        description: group.map((kind) => kind.replaceAll('_', ' ')).join('; '),
        ...(retryAfter === undefined ? {} : { headers: RETRY_AFTER }),
        content: json(Failure, Object.fromEntries(examples)),
      },
    ] as const;
  });
  const wallet = { value: { success: true, message: '', data: { id: 1, amount: 42 } } };
  const ok = { description: 'the wallet and its balance', content: json(Success, { wallet }) };
  return { 200: ok, ...Object.fromEntries(refused) };
}

const RETRY_AFTER = {
  'Retry-After': { description: 'seconds to wait', schema: { type: 'integer' as const } },
};

const operation = (operationType: string, amount: number) => ({
  value: { walletID: 1, operationType, amount },
});

export const operationDocs = {
  operationId: 'applyOperation',
  tags: ['wallets'],
  summary: 'Deposit or withdraw',
  description:
    'A deposit makes the wallet if it does not exist; a withdrawal never takes it below zero. ' +
    'The answer comes after the commit and holds the balance right after this operation. ' +
    'Unknown properties are ignored; of a repeated one the last counts.',
  requestBody: {
    required: true,
    content: json(OperationBody, {
      deposit: operation('DEPOSIT', 42),
      withdrawal: operation('WITHDRAW', 42),
    }),
  },
  responses: responses([
    'body_too_large',
    'unsupported_media_type',
    'body_too_slow',
    'body_not_json',
    'body_not_object',
    'invalid_request',
    'insufficient_funds',
    'wallet_not_found',
    'balance_limit',
    'not_applied',
    'outcome_unknown',
    'internal_error',
  ]),
};

export const balanceDocs = {
  operationId: 'getWallet',
  tags: ['wallets'],
  summary: 'Read a balance',
  description: 'Sees every operation that was answered before this request was sent.',
  parameters: [
    {
      in: 'path' as const,
      name: 'id',
      required: true,
      description: `The wallet's id: ${WalletPath.properties.id.description}.`,
      schema: WalletPath.properties.id,
    },
  ],
  responses: responses(['invalid_request', 'no_wallet', 'not_applied', 'internal_error'], {
    invalid_request: 'id: must be an integer from 1 to 9223372036854775807',
    not_applied: 'the database is away',
  }),
};
