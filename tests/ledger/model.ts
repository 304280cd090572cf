/**
 * What a ledger is, in the fewest words: the pure model that the real one is compared with.
 * Invariant: no clock, no I/O, no PostgreSQL; a refusal leaves the wallets as they were, a replay
 * the keys too.
 */
import { INTEGER_MAX, type Operation, type Versions } from '../../src/ledger/ledger.ts';

export interface Wallet {
  balance: bigint;
  version: bigint;
}

export interface Outcome {
  kind:
    | 'ok'
    | 'wallet_not_found'
    | 'insufficient_funds'
    | 'balance_limit'
    | 'precondition_failed'
    | 'key_reused';
  /** After the operation, or, if it was refused, at that moment; undefined without a wallet. */
  balance: bigint | undefined;
  /** The version that the operation made. */
  version: bigint | undefined;
  isReplay?: true;
}

/** The first use of a key. */
export type Use = Pick<Operation, 'type' | 'amount'> & { outcome: Outcome };

export class Books {
  readonly wallets: Map<bigint, Wallet>;
  /** By wallet and key; see `keyName`. */
  readonly keys: Map<string, Use>;

  constructor(wallets: [bigint, Wallet][] = [], keys: [string, Use][] = []) {
    this.wallets = new Map(wallets);
    this.keys = new Map(keys);
  }

  /** Applies one operation, or says why not, or what its key was answered before. */
  apply(operation: Operation): Outcome {
    const { walletId, type, amount, key } = operation;
    const use = this.keys.get(keyName({ walletId, key }));
    if (use?.type === type && use.amount === amount) return { ...use.outcome, isReplay: true };
    const kind = use ? 'key_reused' : this.#decide(operation);
    if (kind === 'ok') {
      const { balance, version } = this.wallets.get(walletId) ?? { balance: 0n, version: 0n };
      const after = type === 'DEPOSIT' ? balance + amount : balance - amount;
      this.wallets.set(walletId, { balance: after, version: version + 1n });
    }
    const wallet = this.wallets.get(walletId);
    const version = kind === 'ok' ? wallet?.version : undefined;
    const outcome = { kind, balance: wallet?.balance, version };
    if (key !== undefined && !use) {
      this.keys.set(keyName({ walletId, key }), { type, amount, outcome });
    }
    return outcome;
  }

  #decide({ walletId, type, amount, ifMatch, ifNoneMatch }: Operation): Outcome['kind'] {
    const wallet = this.wallets.get(walletId);
    if (ifMatch && !isAt(wallet, ifMatch)) return 'precondition_failed';
    if (ifNoneMatch && isAt(wallet, ifNoneMatch)) return 'precondition_failed';
    if (!wallet && type === 'WITHDRAW') return 'wallet_not_found';
    const balance = wallet?.balance ?? 0n;
    if (type === 'WITHDRAW') return amount > balance ? 'insufficient_funds' : 'ok';
    return balance + amount > INTEGER_MAX ? 'balance_limit' : 'ok';
  }
}

export const keyName = ({ walletId, key }: Pick<Operation, 'walletId' | 'key'>) =>
  key === undefined ? '' : `${walletId} ${key}`;

const isAt = (wallet: Wallet | undefined, versions: Versions) =>
  wallet !== undefined && (versions === 'any' || versions.includes(wallet.version));
