/**
 * The wallet routes: from a request to the ledger and from its outcome to an answer.
 * Invariant: refusals are judged in the order of the registry, before anything has an effect.
 */
import { Elysia } from 'elysia';
import type {
  Decision,
  JournalEntry,
  Ledger,
  MomentOutcome,
  Operation,
  OperationOutcome,
  Versions,
} from '../ledger/ledger.ts';
import type { Access } from './access.ts';
import { matches } from './entity-tags.ts';
import { notModified, REPLAYED, refuse, succeedAt, walletJson } from './envelope.ts';
import { balanceDocs, operationDocs, pageDocs } from './openapi.ts';
import { type BodyLimits, parseJsonObject, receiveJson } from './request-body.ts';
import { readIfNoneMatch, readTerms } from './request-headers.ts';
import { readMoment, readPage, readWalletId } from './request-url.ts';
import { decoder, OperationBody } from './schema.ts';

const decodeOperation = decoder(OperationBody);

/** Who counts the operations. */
export interface OperationMeter {
  operation(type: Operation['type'], outcome: string): void;
}

export interface WalletOptions extends BodyLimits {
  /** Whether an operation without an Idempotency-Key is refused. */
  isKeyRequired: boolean;
}

/** POST /api/v1/wallets, GET /api/v1/wallets/{id} and GET /api/v1/wallets/{id}/operations. */
export function walletRoutes(
  ledger: Ledger,
  access: Access,
  meter: OperationMeter,
  options: WalletOptions,
) {
  async function operate(request: Request): Promise<Response> {
    const bytes = await receiveJson(request, options);
    if ('refusal' in bytes) return refuse(request, bytes.refusal);
    const terms = readTerms(request.headers, options.isKeyRequired);
    if ('refusal' in terms) return refuse(request, terms.refusal);
    const body = parseJsonObject(bytes);
    if ('refusal' in body) return refuse(request, body.refusal);
    const decoded = decodeOperation(body.value);
    if ('refusal' in decoded) return refuse(request, decoded.refusal);
    const { walletID, operationType, amount } = decoded.value;
    const { key, ifMatch, ifNoneMatch } = terms;
    const operation = {
      walletId: walletID,
      type: operationType,
      amount,
      key,
      ifMatch,
      ifNoneMatch,
    };
    const outcome = await ledger.apply(operation);
    meter.operation(operationType, wordFor(outcome));
    if (outcome.kind === 'not_applied' || outcome.kind === 'outcome_unknown') {
      return refuse(request, outcome);
    }
    return answer(request, walletID, amount, outcome);
  }

  async function balance(request: Request, digits: string): Promise<Response> {
    const terms = readIfNoneMatch(request.headers);
    if ('refusal' in terms) return refuse(request, terms.refusal);
    const id = readWalletId(digits);
    if (typeof id === 'object') return refuse(request, id.refusal);
    const moment = readMoment(request.url);
    if (moment && 'refusal' in moment) return refuse(request, moment.refusal);
    const outcome: MomentOutcome = moment
      ? await ledger.balanceAt(id, moment)
      : await ledger.balance(id);
    if (outcome.kind !== 'ok') return refuse(request, outcome);
    return fresh(outcome.version, terms.ifNoneMatch, () => walletJson(id, outcome.balance));
  }

  async function operations(request: Request, digits: string): Promise<Response> {
    const terms = readIfNoneMatch(request.headers);
    if ('refusal' in terms) return refuse(request, terms.refusal);
    const id = readWalletId(digits);
    if (typeof id === 'object') return refuse(request, id.refusal);
    const page = readPage(request.url);
    if ('refusal' in page) return refuse(request, page.refusal);
    const outcome = await ledger.operations(id, page);
    if (outcome.kind !== 'ok') return refuse(request, outcome);
    return fresh(outcome.version, terms.ifNoneMatch, () => pageJson(outcome.entries));
  }

  return new Elysia({ prefix: '/api/v1/wallets' })
    .onBeforeHandle(({ request }) => access.judge(request))
    .post('', ({ request }) => operate(request), {
      parse: 'none',
      detail: operationDocs(options.bodyMaxBytes),
    })
    .get('/:id', ({ request, params }) => balance(request, params.id), { detail: balanceDocs })
    .get('/:id/operations', ({ request, params }) => operations(request, params.id), {
      detail: pageDocs,
    });
}

/** An answer that was given before counts as that alone: nothing happened now. */
const wordFor = (outcome: OperationOutcome) =>
  'isReplay' in outcome && outcome.isReplay ? 'replayed' : outcome.kind;

/** What the ledger decided, now or at the first use of the operation's key. */
function answer(request: Request, id: bigint, amount: bigint, decision: Decision): Response {
  const headers = decision.isReplay ? REPLAYED : undefined;
  switch (decision.kind) {
    case 'ok':
      return succeedAt(decision.version, walletJson(id, decision.balance), headers);
    case 'insufficient_funds': {
      const { kind, balance } = decision;
      return refuse(request, { kind, balance, shortfall: amount - balance }, headers);
    }
    default:
      return refuse(request, { kind: decision.kind }, headers);
  }
}

/** 200 with what a client has not, 304 without what it has. */
function fresh(version: bigint, had: Versions | undefined, data: () => string): Response {
  return had && matches(had, version) ? notModified(version) : succeedAt(version, data());
}

function pageJson(entries: JournalEntry[]): string {
  const oldest = entries.at(-1);
  const next = oldest && oldest.version > 1n ? oldest.version : null;
  return `{"operations":[${entries.map(entryJson).join()}],"next":${next}}`;
}

function entryJson({ version, type, amount, balance, createdAt, key }: JournalEntry): string {
  const written =
    `{"version":${version},"operationType":"${type}","amount":${amount},` +
    `"balance":${balance},"createdAt":"${createdAt}"`;
  return key === null ? `${written}}` : `${written},"idempotencyKey":${JSON.stringify(key)}}`;
}
