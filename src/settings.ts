/**
 * Reads typed values out of text variables and collects every fault on the way.
 * Invariant: a wrong value never throws here; it adds one line to `faults`, which names the
 * variable and what it must be, and never repeats a value that may hold a secret.
 */

export type Environment = Record<string, string | undefined>;

export interface IntegerRange {
  fallback: number;
  min: number;
  max: number;
}

export interface HostAndPort {
  host: string;
  port: number;
}

export const PORT_MAX = 65_535;

/** One reading of an environment: ask for every setting, then look at `faults`. */
export class Settings {
  readonly faults: string[] = [];
  readonly #environment: Environment;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** The variable's text; undefined when it is absent or empty. */
  optional(name: string): string | undefined {
    return this.#environment[name] || undefined;
  }

  text(name: string, fallback: string): string {
    return this.optional(name) ?? fallback;
  }

  /** A plain decimal integer within the range, bounds included. */
  integer(name: string, { fallback, min, max }: IntegerRange): number {
    const text = this.optional(name);
    if (text === undefined) return fallback;
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    this.fault(name, `must be an integer from ${min} to ${max}, not "${text}"`);
    return fallback;
  }

  oneOf<Choice extends string>(
    name: string,
    choices: readonly Choice[],
    fallback: NoInfer<Choice>,
  ): Choice {
    const text = this.text(name, fallback);
    const choice = choices.find((candidate) => candidate === text);
    if (choice !== undefined) return choice;
    this.fault(name, `must be one of ${choices.join(', ')}, not "${text}"`);
    return fallback;
  }

  /** `[host]:port`; an empty host means every interface, IPv6 hosts stand in brackets. */
  address(name: string, fallback: string): HostAndPort {
    const text = this.text(name, fallback);
    const match = /^(?:\[(?<six>[0-9a-fA-F:.]+)\]|(?<host>[^:[\]\s]*)):(?<port>\d{1,5})$/.exec(
      text,
    );
    const port = Number(match?.groups?.port);
    if (match?.groups && port >= 1 && port <= PORT_MAX) {
      return { host: match.groups.six ?? match.groups.host ?? '', port };
    }
    this.fault(name, `must be [host]:port with a port from 1 to ${PORT_MAX}, not "${text}"`);
    return { host: '127.0.0.1', port: PORT_MAX };
  }

  fault(name: string, problem: string): void {
    this.faults.push(`${name}: ${problem}`);
  }
}
