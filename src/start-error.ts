/**
 * Why the service cannot run, in words for the person who started it: each message says what is
 * wrong and what to do. Anything else that is thrown at start is a bug and is shown with its stack.
 */
export class StartError extends Error {}
