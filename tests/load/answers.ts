/**
 * Checks a contender's answers before it is loaded, to the letter: what answers wrongly may be as
 * fast as it likes.
 */
import { INTEGER_MAX } from '../../src/ledger/ledger.ts';
import { BODY_PATH } from './load-generator.ts';

interface Expectation {
  /** A body to post; without one the wallet's balance is asked for. */
  body?: string;
  status: number;
  text: string;
}

const success = (id: number, amount: bigint) => ({
  status: 200,
  text: `{"success":true,"message":"","data":{"id":${id},"amount":${amount}}}`,
});

const refusal = (status: number, message: string) => ({
  status,
  text: `{"success":false,"message":"${message}","data":null}`,
});

/** In this order, on a wallet that does not exist yet. */
function expectations(id: number): Expectation[] {
  const body = (type: string, amount: bigint | string) =>
    `{"walletID":${id},"operationType":"${type}","amount":${amount}}`;
  const limit = `must be an integer from 1 to ${INTEGER_MAX}`;
  return [
    { body: body('WITHDRAW', 1n), ...refusal(400, 'wallet not found') },
    refusal(404, 'wallet not found'),
    { body: body('DEPOSIT', 100n), ...success(id, 100n) },
    { body: body('WITHDRAW', 58n), ...success(id, 42n) },
    { body: body('WITHDRAW', 43n), ...refusal(400, 'insufficient funds') },
    success(id, 42n),
    { body: body('DEPOSIT', INTEGER_MAX - 41n), ...refusal(400, 'balance limit exceeded') },
    { body: body('DEPOSIT', INTEGER_MAX - 42n), ...success(id, INTEGER_MAX) },
    { body: body('WITHDRAW', INTEGER_MAX), ...success(id, 0n) },
    { body: body('DEPOSIT', '1.0'), ...refusal(400, `amount: ${limit}`) },
    success(id, 0n),
  ];
}

/** @throws with the first answer that is not as it must be. */
export async function checkAnswers(base: string, walletId: number): Promise<void> {
  for (const { body, status, text } of expectations(walletId)) {
    const path = body === undefined ? `${BODY_PATH}/${walletId}` : BODY_PATH;
    const post = { method: 'POST', headers: { 'content-type': 'application/json' } };
    const response = await fetch(base + path, body === undefined ? {} : { ...post, body });
    const given = `${response.status} ${await response.text()}`;
    if (given === `${status} ${text}`) continue;
    throw new Error(`${body ?? path} was answered ${given} instead of ${status} ${text}`);
  }
}
