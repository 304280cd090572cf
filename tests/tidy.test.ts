/** The layout and the rules of style that a program can see. */
import { describe, expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import packageFile from '../package.json' with { type: 'json' };
import { projectRoot } from '../src/config.ts';

const TOP_LEVEL = [
  ['src', 'sql', 'tests'],
  ['Dockerfile', 'LICENSE', 'README.md', 'bun.lock', 'bunfig.toml', 'config.env.example'],
  ['docker-compose.yml', 'package.json', 'tsconfig.json'],
].flat();

/** Not tracked: they may be there or not. */
const LOCAL = ['node_modules', 'config.env'];

/** Imports go from left to right, never back; what is on no list may be imported by all. */
const LAYERS = ['main', 'dev', 'supervisor', 'worker', 'app', 'http', 'ledger', 'database'];

const LINE_MAX_COLUMNS = 100;
const FILE_MAX_LINES = 160;
const HEAD_MAX_LINES = 8;

interface Source {
  path: string;
  text: string;
  lines: string[];
}

function read(folder: string, ending: RegExp): Source[] {
  return readdirSync(join(projectRoot, folder), { recursive: true })
    .map(String)
    .filter((name) => ending.test(name))
    .map((name) => {
      const text = readFileSync(join(projectRoot, folder, name), 'utf8');
      return { path: join(folder, name), text, lines: text.trimEnd().split('\n') };
    });
}

const source = read('src', /\.ts$/);
const tests = read('tests', /\.ts$/);
const statements = read('sql', /\.sql$/);
const offenders = (files: Source[], isWrong: (file: Source) => boolean) =>
  files.filter(isWrong).map(({ path }) => path);

describe('the project', () => {
  test('has exactly the agreed top level', () => {
    const names = readdirSync(projectRoot).filter((name) => !name.startsWith('.'));
    expect(names.filter((name) => !LOCAL.includes(name)).sort()).toEqual(TOP_LEVEL.sort());
  });

  test('pins every dependency to one version, and its lock names no registry', () => {
    const { dependencies, devDependencies } = packageFile;
    for (const version of Object.values({ ...dependencies, ...devDependencies })) {
      expect(version).toMatch(/^(npm:(@sinclair\/typebox|typescript)@)?\d+\.\d+\.\d+[\w.-]*$/);
    }
    expect(readFileSync(join(projectRoot, 'bun.lock'), 'utf8')).not.toContain('://');
  });
});

describe('every file', () => {
  test(`has lines of at most ${LINE_MAX_COLUMNS} columns`, () => {
    const tooWide = ({ lines }: Source) => lines.some((line) => line.length > LINE_MAX_COLUMNS);
    expect(offenders([...source, ...tests, ...statements], tooWide)).toEqual([]);
  });

  test(`of the source has at most ${FILE_MAX_LINES} lines`, () => {
    expect(offenders(source, ({ lines }) => lines.length > FILE_MAX_LINES)).toEqual([]);
  });

  test(`says in its first ${HEAD_MAX_LINES} lines what it owns`, () => {
    const headless = ({ lines }: Source) => {
      const end = lines.findIndex((line) => line.endsWith('*/'));
      return !lines[0]?.startsWith('/**') || end < 0 || end > HEAD_MAX_LINES;
    };
    expect(offenders([...source, ...tests], headless)).toEqual([]);
    expect(offenders(statements, ({ text }) => !text.startsWith('-- '))).toEqual([]);
  });

  test('has no unowned work left in it', () => {
    const unfinished = /\b(TODO|FIXME|XXX|HACK)\b/;
    const others = source.concat(statements);
    expect(offenders(others, ({ text }) => unfinished.test(text))).toEqual([]);
  });

  test('has a name that is a noun of its own', () => {
    const bucket = /(^|\/)(utils?|helpers?|types|common|misc|index)(\/|\.ts$)/;
    expect(offenders(source, ({ path }) => bucket.test(path))).toEqual([]);
  });
});

describe('the source', () => {
  test('imports in one direction only', () => {
    const layerOf = (path: string) => {
      const name = relative('src', path).split('/')[0]?.replace(/\.ts$/, '') ?? '';
      return LAYERS.indexOf(name);
    };
    const backward = source.flatMap(({ path, text }) => {
      const imports = [...text.matchAll(/from '(\.[^']+)'/g)].map(([, name]) => name as string);
      return imports
        .map((name) => join(dirname(path), name))
        .filter((target) => layerOf(target) >= 0 && layerOf(target) < layerOf(path))
        .map((target) => `${path} imports ${target}`);
    });
    expect(backward).toEqual([]);
  });

  test('explains every exported function and class', () => {
    const bare = source.flatMap(({ path, lines }) =>
      lines
        .filter((line, at) => {
          const exported = /^export (async )?(function|class) /.test(line);
          return exported && !lines[at - 1]?.endsWith('*/');
        })
        .map((line) => `${path}: ${line}`),
    );
    expect(bare).toEqual([]);
  });

  test('reads the environment in one place', () => {
    const readers = offenders(source, ({ text }) => /process\.env|Bun\.env/.test(text));
    expect(readers).toEqual(['src/config.ts']);
  });

  test('knows no SQL in http and no HTTP in ledger and database', () => {
    const below = (folder: string) => source.filter(({ path }) => path.startsWith(folder));
    expect(offenders(below('src/http'), ({ text }) => /sql`|postgres/.test(text))).toEqual([]);
    const http = /elysia|Response\(|\bstatus:/;
    const lower = [...below('src/ledger'), ...below('src/database')];
    expect(
      offenders(lower, ({ text }) => http.test(text.replaceAll(/\/\*[\s\S]*?\*\//g, ''))),
    ).toEqual([]);
  });
});
