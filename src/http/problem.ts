/**
 * Refusals for programs: problem details (RFC 9457).
 * Invariant: a type is stable and belongs to one entry of the registry; integers print exactly.
 */
import type { Refusal, RefusalKind } from './refusals.ts';

export const PROBLEM_TYPE = 'application/problem+json';

/** A media range of an Accept header that means this type, with its parameters. */
const RANGE = /^application\/problem\+json\s*(?:;(.*))?$/i;

const REFUSED_QUALITY = /(?:^|;)\s*q\s*=\s*0(?:\.0*)?\s*(?:;|$)/i;

/** Whether a client asks for problem details by name. */
export function wantsProblem(accept: string | null): boolean {
  if (accept === null) return false;
  return accept.split(',').some((part) => {
    const range = RANGE.exec(part.trim());
    return range !== null && !REFUSED_QUALITY.test(range[1] ?? '');
  });
}

/** The stable reference of a kind of refusal; the README explains each. */
export const problemType = (kind: RefusalKind) => `/problems/${kind.replaceAll('_', '-')}`;

/** A refusal's title: its kind in words. */
export const problemTitle = (kind: RefusalKind) => kind.replaceAll('_', ' ');

/** The body of a problem. */
export function problemJson(
  { kind, balance, shortfall, faults }: Refusal,
  status: number,
  detail: string,
) {
  const type = problemType(kind);
  const common = JSON.stringify({ type, title: problemTitle(kind), status, detail }).slice(0, -1);
  const errors = faults?.map(({ property, fault }) => ({
    pointer: `#/${property}`,
    detail: fault,
  }));
  return [
    common,
    ...(balance === undefined ? [] : [`"balance":${balance}`]),
    ...(shortfall === undefined ? [] : [`"shortfall":${shortfall}`]),
    ...(errors === undefined ? [] : [`"errors":${JSON.stringify(errors)}`]),
  ]
    .join()
    .concat('}');
}
