/**
 * Entity tags and the conditions made of them (RFC 9110, sections 8.8.3 and 13.1). A wallet's tag
 * is its version in quotes. Invariant: a weak tag, or one that is no version, matches nothing.
 */
import { INTEGER_MAX, type Versions } from '../ledger/ledger.ts';

/** One member of a list, which may be empty, and what separates it from the next. */
const MEMBER = /[ \t]*((?:W\/)?"[\x21\x23-\x7e\x80-\xff]*")?[ \t]*(?:,|$)/y;

const VERSION_TAG = /^"([1-9]\d{0,18})"$/;

/** The tag of a wallet at a version. */
export const entityTag = (version: bigint) => `"${version}"`;

/**
 * Reads the value of If-Match or If-None-Match.
 * @returns `any` for `*`, the versions named, or undefined when it is malformed.
 */
export function parseTags(value: string): Versions | undefined {
  if (value.trim() === '*') return 'any';
  const tags: string[] = [];
  MEMBER.lastIndex = 0;
  do {
    const member = MEMBER.exec(value);
    if (!member) return undefined;
    if (member[1] !== undefined) tags.push(member[1]);
  } while (MEMBER.lastIndex < value.length);
  if (tags.length === 0) return undefined;
  return tags.flatMap((tag) => {
    const digits = VERSION_TAG.exec(tag)?.[1];
    const version = digits === undefined ? INTEGER_MAX + 1n : BigInt(digits);
    return version <= INTEGER_MAX ? [version] : [];
  });
}

/** Whether a wallet at a version is meant. */
export const matches = (tags: Versions, version: bigint) =>
  tags === 'any' || tags.includes(version);
