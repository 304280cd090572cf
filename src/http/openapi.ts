/**
 * Describes each operation for the OpenAPI document, out of the same schemas and the same registry
 * that the code runs on. Invariant: every parameter and header that a route understands is named.
 */
import { INTEGER_MAX } from '../ledger/ledger.ts';
import { ETAG, json, REPLAYED_HEADER, responses } from './openapi-answers.ts';
import {
  at,
  before,
  idempotencyKey,
  ifMatch,
  ifNoneMatch,
  ifNoneMatchOfOperation,
  limit,
  version,
  walletId,
} from './openapi-parameters.ts';
import { OperationBody, OperationsPage, Wallet } from './schema.ts';

const DATABASE_REASONS = {
  not_applied: 'the database is away',
  outcome_unknown: 'the database did not answer in time',
};

/** A token, or none where the service has no API_TOKENS_FILE. */
const security = [{ bearer: [] }, {}];

const integerFault = (name: string) => `${name}: must be an integer from 1 to ${INTEGER_MAX}`;

const operation = (operationType: string, amount: number) => ({
  value: { walletID: 1, operationType, amount },
});

/** Of POST /api/v1/wallets. */
export const operationDocs = (bodyMaxBytes: number) => ({
  operationId: 'applyOperation',
  tags: ['wallets'],
  security,
  summary: 'Deposit or withdraw',
  description:
    'A deposit makes the wallet if it does not exist; a withdrawal never takes it below zero. ' +
    'The answer comes after the commit and holds the balance right after this operation. ' +
    'Unknown properties are ignored; of a repeated one the last counts.',
  parameters: [idempotencyKey, ifMatch, ifNoneMatchOfOperation],
  requestBody: {
    required: true,
    content: json(OperationBody, {
      deposit: operation('DEPOSIT', 42),
      withdrawal: operation('WITHDRAW', 42),
    }),
  },
  responses: responses(
    {
      description: 'the wallet and its balance',
      data: Wallet,
      example: { id: 1, amount: 42 },
      headers: { ...ETAG, ...REPLAYED_HEADER },
    },
    [
      'unauthorized',
      'forbidden',
      'body_too_large',
      'unsupported_media_type',
      'body_too_slow',
      'invalid_header',
      'body_not_json',
      'body_not_object',
      'invalid_request',
      'key_reused',
      'precondition_failed',
      'insufficient_funds',
      'wallet_not_found',
      'balance_limit',
      'not_applied',
      'outcome_unknown',
      'internal_error',
    ],
    {
      ...DATABASE_REASONS,
      body_too_large: `${bodyMaxBytes} bytes`,
      invalid_header: 'If-Match: must be * or a list of entity tags such as "3", "5"',
      invalid_request: integerFault('amount'),
    },
  ),
});

const ofRead = {
  ...DATABASE_REASONS,
  invalid_header: 'If-None-Match: must be * or a list of entity tags such as "3", "5"',
  invalid_request: integerFault('id'),
};

export const balanceDocs = {
  operationId: 'getWallet',
  tags: ['wallets'],
  security,
  summary: 'Read a balance',
  description: 'Sees every operation that was answered before this request was sent.',
  parameters: [walletId, version, at, ifNoneMatch],
  responses: responses(
    {
      description: 'the wallet and its balance',
      data: Wallet,
      example: { id: 1, amount: 42 },
      isConditional: true,
    },
    [
      'unauthorized',
      'invalid_header',
      'invalid_request',
      'no_wallet',
      'no_version',
      'not_applied',
      'internal_error',
    ],
    ofRead,
  ),
};

export const pageDocs = {
  operationId: 'listOperations',
  tags: ['wallets'],
  security,
  summary: 'Read the history',
  description:
    'The operations that were applied to the wallet, newest first. `next` is the value of ' +
    '`before` for the page behind, or null on the last one.',
  parameters: [walletId, limit, before, ifNoneMatch],
  responses: responses(
    {
      description: 'a page of operations',
      data: OperationsPage,
      example: {
        operations: [
          {
            version: 1,
            operationType: 'DEPOSIT',
            amount: 42,
            balance: 42,
            createdAt: '2026-01-31T23:59:59.123456Z',
            idempotencyKey: '8e03978e-40d5-43dd-bc93-6894a57f9324',
          },
        ],
        next: null,
      },
      isConditional: true,
    },
    [
      'unauthorized',
      'invalid_header',
      'invalid_request',
      'no_wallet',
      'not_applied',
      'internal_error',
    ],
    ofRead,
  ),
};
