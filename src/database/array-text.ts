/**
 * PostgreSQL's text of an array: what hundreds of values cross the wire as, in one parameter or
 * column. Invariant: an element has no comma and no quotes of its own, or is quoted by the caller.
 */

/** The text of an array. */
export const arrayText = (elements: readonly unknown[]) => `{${elements.join()}}`;

/** The elements of an array that is not empty; `NULL` stays a word. */
export const arrayElements = (text: string) => text.slice(1, -1).split(',');
