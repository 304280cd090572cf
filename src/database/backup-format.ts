/**
 * The text of a backup: a script that psql can run, which says at its head what it holds and at its
 * end how many rows that was. Invariant: what `readBackup` has read to its end without an error is
 * whole; it knows that only then.
 */
import { StartError } from '../start-error.ts';

/** What the head tells. */
export interface BackupHead {
  time: string;
  /** The migrations that the tables had. */
  migrations: string[];
}

/** Where a table's rows begin; `columns` as they stand in the statement. */
export interface TableStart {
  table: string;
  columns: string;
}

export type Rows = Record<string, number>;

/** Rows come as their text, whole lines of COPY; null ends those of a table. */
type Piece = { head: BackupHead } | { start: TableStart } | { data: Buffer | null };

const FORMAT = 1;

const TITLE = `-- Backup of a wallet service, format ${FORMAT}`;

const PREAMBLE = [
  '-- To be loaded into an empty database: bun run restore FILE',
  '-- Or with psql, where those migrations were applied and nothing else was: zcat FILE | psql',
  '\\set ON_ERROR_STOP on',
  "set client_encoding = 'UTF8';",
  'begin;',
];

const END_OF_TABLE = '\\.';

const END_OF_SCRIPT = 'commit;';

const START = /^copy (\w+) \(([\w", ]+)\) from stdin;$/;

/** No line is nearly as long: keys have 255 characters at the most. */
const LINE_MAX_BYTES = 1_048_576;

const NEWLINE = 10;

/** The lines before the first table. */
export function headText(head: BackupHead): string {
  return [TITLE, `-- ${JSON.stringify(head)}`, ...PREAMBLE, ''].join('\n');
}

/** The line before a table's rows. */
export const startText = ({ table, columns }: TableStart) =>
  `copy ${table} (${columns}) from stdin;\n`;

/** The line behind a table's rows. */
export const endOfTableText = `${END_OF_TABLE}\n`;

/** The lines behind the last table. */
export const endText = (rows: Rows) => `${END_OF_SCRIPT}\n-- ${JSON.stringify({ rows })}\n`;

/** How many rows a piece of COPY's text holds: a line break inside of a value is escaped. */
export function countRows(data: Buffer): number {
  let rows = 0;
  for (let at = data.indexOf(NEWLINE); at >= 0; at = data.indexOf(NEWLINE, at + 1)) rows += 1;
  return rows;
}

/**
 * The pieces of a backup in their order, of which each is at most a little larger than a chunk.
 * @throws StartError where the text is not what this release writes, or is cut.
 */
export async function* readBackup(chunks: AsyncIterable<Buffer>): AsyncGenerator<Piece> {
  const text = new Lines(chunks);
  if ((await text.line()) !== TITLE) {
    throw new StartError('it is no backup of a wallet service, or one of another format');
  }
  yield { head: parse(await text.line()) };
  for (const expected of PREAMBLE) if ((await text.line()) !== expected) throw damaged();
  const rows: Rows = {};
  for (;;) {
    const line = await text.line();
    if (line === END_OF_SCRIPT) break;
    const [, table, columns] = START.exec(line) ?? [];
    if (!table || !columns) throw damaged();
    yield { start: { table, columns } };
    let count = 0;
    for await (const data of text.until(`${END_OF_TABLE}\n`)) {
      count += countRows(data);
      yield { data };
    }
    rows[table] = count;
    yield { data: null };
  }
  const end = parse<{ rows: Rows }>(await text.line());
  if (!Bun.deepEquals(end.rows, rows) || !(await text.isAtEnd())) throw damaged();
}

const damaged = () => new StartError('the backup is damaged or cut');

/** A comment that holds JSON. */
function parse<Value>(line: string): Value {
  try {
    return JSON.parse(line.replace(/^-- /, ''));
  } catch {
    throw damaged();
  }
}

/** Reads bytes line by line, or all lines up to one. */
class Lines {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  async line(): Promise<string> {
    let end = this.#rest.indexOf(NEWLINE);
    for (; end < 0; end = this.#rest.indexOf(NEWLINE)) await this.#more();
    return this.#take(end + 1).toString('utf8', 0, end);
  }

  /** Everything before the line `last`, which is passed over. */
  async *until(last: string): AsyncGenerator<Buffer> {
    for (;;) {
      const isHere = this.#rest.indexOf(last) === 0;
      const before = isHere ? 0 : this.#rest.indexOf(`\n${last}`) + 1;
      const isFound = isHere || before > 0;
      const whole = isFound ? before : this.#rest.lastIndexOf(NEWLINE) + 1;
      if (whole > 0) yield this.#take(whole);
      if (isFound) return void this.#take(last.length);
      await this.#more();
    }
  }

  async isAtEnd(): Promise<boolean> {
    return this.#rest.length === 0 && (await this.#chunks.next()).done === true;
  }

  async #more(): Promise<void> {
    const { done, value } = await this.#chunks.next();
    if (done || this.#rest.length > LINE_MAX_BYTES) throw damaged();
    this.#rest = Buffer.concat([this.#rest, value]);
  }

  #take(bytes: number): Buffer {
    const taken = this.#rest.subarray(0, bytes);
    this.#rest = this.#rest.subarray(bytes);
    return taken;
  }
}
