/**
 * The wallet routes: from a request to the ledger and from its outcome to an answer.
 * Invariant: refusals are judged in the order of the registry, before anything has an effect.
 */
import { Elysia } from 'elysia';
import type { Ledger, OperationOutcome } from '../ledger/ledger.ts';
import { refuse, succeed, walletJson } from './envelope.ts';
import { balanceDocs, operationDocs } from './openapi.ts';
import { readJsonObject } from './request-body.ts';
import { decoder, OperationBody, WalletPath } from './schema.ts';

const decodeOperation = decoder(OperationBody);
const decodePath = decoder(WalletPath);

/** The digits of an id as the router found them; a sign or a leading zero makes them none. */
const ID_DIGITS = /^[1-9]\d{0,18}$/;

export interface WalletOptions {
  /** For the arrival of a body and, apart from that, for the ledger. */
  requestTimeoutMs: number;
}

/** POST /api/v1/wallets and GET /api/v1/wallets/{id}. */
export function walletRoutes(ledger: Ledger, { requestTimeoutMs }: WalletOptions) {
  async function operate(request: Request): Promise<Response> {
    const body = await readJsonObject(request, requestTimeoutMs);
    if ('refusal' in body) return refuse(body.refusal);
    const decoded = decodeOperation(body.value);
    if ('faults' in decoded) return refuse({ kind: 'invalid_request', reason: decoded.faults });
    const { walletID, operationType, amount } = decoded.value;
    const outcome = await ledger.apply({ walletId: walletID, type: operationType, amount });
    return answer(walletID, outcome);
  }

  async function balance(digits: string): Promise<Response> {
    const decoded = decodePath({ id: ID_DIGITS.test(digits) ? BigInt(digits) : digits });
    if ('faults' in decoded) return refuse({ kind: 'invalid_request', reason: decoded.faults });
    const { id } = decoded.value;
    return answer(id, await ledger.balance(id));
  }

  return new Elysia({ prefix: '/api/v1/wallets' })
    .post('', ({ request }) => operate(request), { parse: 'none', detail: operationDocs })
    .get('/:id', ({ params }) => balance(params.id), { detail: balanceDocs });
}

function answer(id: bigint, outcome: OperationOutcome | { kind: 'no_wallet' }): Response {
  return outcome.kind === 'ok' ? succeed(walletJson(id, outcome.balance)) : refuse(outcome);
}
