/**
 * The life of a flight: sent until it is answered, each operation answered by its own deadline.
 * Invariant: an operation is answered `not_applied` only if it never will be. Once an attempt was
 * lost, the flight is frozen: the same operations, those answered meanwhile included, go again with
 * the same ticket, so that whichever copy is committed, it is committed once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode } from '../database/failure.ts';
import type { Failed } from '../database/line.ts';
import type { Logger } from '../log.ts';
import type { Ticket } from './apply-operations.ts';
import { answerLateCalls, type Call } from './call.ts';
import type { FlightSlot } from './flight-slot.ts';
import {
  AWAY,
  type NotApplied,
  type Operation,
  type OperationOutcome,
  type OutcomeUnknown,
} from './ledger.ts';

type OperationCall = Call<Operation, OperationOutcome>;

/** The pause before the first re-send; it doubles with each, and a random half is added. */
const PAUSE_MIN_MS = 25;
const PAUSE_MAX_MS = 400;

const NO_ANSWER: OutcomeUnknown = {
  kind: 'outcome_unknown',
  reason: 'the database did not answer in time',
};

/** Who is told how flights go. */
export interface FlightWatch {
  logger: Logger;
  meter: {
    /** A flight was answered; the time is that of all its attempts. */
    landed(operations: number, seconds: number): void;
    /** A flight has to be sent again. */
    resent(failure: Failed['kind']): void;
  };
}

/** Carries calls through a slot; resolves when each is answered and the slot is free. */
export async function fly(
  slot: FlightSlot,
  calls: OperationCall[],
  watch: FlightWatch,
): Promise<void> {
  const began = performance.now();
  let aboard = calls;
  let frozen: Ticket | undefined;
  for (let attempts = 1; aboard.some(isOpen); attempts += 1) {
    let failed = slot.isReady ? undefined : await answerLateCalls(aboard, slot.prepare(), idle());
    if (!failed) {
      // Who was told "not applied" meanwhile stays behind.
      if (!frozen) aboard = aboard.filter(isOpen);
      if (aboard.length === 0) return;
      const ticket = frozen ?? slot.nextTicket();
      const flight = aboard.map(({ question }) => question);
      const attempt = await answerLateCalls(aboard, slot.send(ticket, flight), NO_ANSWER);
      if (attempt.kind === 'answered') {
        watch.meter.landed(aboard.length, (performance.now() - began) / 1000);
        return land(aboard, attempt.value);
      }
      if (attempt.kind === 'final' && !frozen) return divide(slot, aboard, watch, attempt.error);
      if (attempt.kind === 'lost') frozen = ticket;
      failed = attempt;
    }
    watch.meter.resent(failed.kind);
    if (attempts === 1) {
      watch.logger.warn({ ...trouble(failed), aboard: aboard.length }, 'sending again');
    }
    await answerLateCalls(aboard, pauseAfter(attempts), idle());
  }

  /** What is told at a deadline that comes while nothing is on its way. */
  function idle(): NotApplied | OutcomeUnknown {
    return frozen ? NO_ANSWER : AWAY;
  }
}

function land(aboard: OperationCall[], outcomes: OperationOutcome[]): void {
  for (const [at, call] of aboard.entries()) call.answer(outcomes[at] as OperationOutcome);
}

/** An error that will not go away rolled everything back; halves lead to the one at fault. */
async function divide(
  slot: FlightSlot,
  aboard: OperationCall[],
  watch: FlightWatch,
  error: unknown,
): Promise<void> {
  if (aboard.length === 1) return aboard[0]?.fail(error);
  const middle = Math.ceil(aboard.length / 2);
  await fly(slot, aboard.slice(0, middle), watch);
  await fly(slot, aboard.slice(middle), watch);
}

const isOpen = ({ answered }: OperationCall) => !answered;

const trouble = ({ kind, error }: Failed) => ({
  failure: kind,
  code: errorCode(error),
  reason: (error as Error).message,
});

function pauseAfter(attempts: number): Promise<void> {
  const pause = Math.min(PAUSE_MIN_MS * 2 ** (attempts - 1), PAUSE_MAX_MS);
  return sleep(pause * (1 + Math.random() / 2));
}
