/**
 * The dashboard in a real browser, over a real service: what it shows is what happens.
 * Whatever the browser has to complain of is a fault: see helpers/browser.ts.
 */
import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from 'bun:test';
import type { Page } from 'playwright-core';
import { version } from '../../package.json' with { type: 'json' };
import { freeze, freezePostgres, strike } from '../faults/service-processes.ts';
import { closeBrowser, hasBrowser, openPage } from '../helpers/browser.ts';
import { Callers } from '../helpers/callers.ts';
import { endServices, startService, type TestService, until } from '../helpers/service.ts';
import { metricsUrl, read, settle } from './scrape.ts';

setDefaultTimeout(90_000);

const WAIT_MS = 20_000;

const CALLERS = 16;

let service: TestService;
let page: Page;
let faults: string[];

/** The number that a figure begins with; NaN while there is none. */
const figure = async (name: string) => {
  const text = await page.textContent(`[data-figure=${name}]`);
  return Number.parseFloat((text ?? '').replaceAll(',', ''));
};

const shows = (name: string, holds: (value: number) => boolean) =>
  until(async () => holds(await figure(name)), `${name} in the page`, WAIT_MS);

const says = (text: string) => {
  const isSaid = async () => (await page.textContent('#state'))?.includes(text) === true;
  return until(isSaid, `"${text}" in the page`, WAIT_MS);
};

/** The ids in the table of processes, by their names. */
async function processes(): Promise<Map<string, number>> {
  const rows = await page.locator('#rows tr').allInnerTexts();
  return new Map(rows.map((row) => row.split('\t')).map(([name = '', pid]) => [name, Number(pid)]));
}

async function underLoad(work: () => Promise<unknown>): Promise<Callers> {
  const callers = new Callers({ urls: [`http://127.0.0.1:${service.port}`], count: CALLERS });
  await work().finally(() => callers.stop());
  return callers;
}

/** Notes the operations per second of every second that the page shows from now on. */
const NOTE_OPERATIONS = `
  globalThis.noted = new Map();
  const text = (selector) => document.querySelector(selector).textContent;
  new MutationObserver(() => {
    noted.set(text('#time'), Number(text('[data-figure=operations]').replaceAll(',', '')));
  }).observe(document.querySelector('#time'), { childList: true });
`;

/** Notes whatever moves in the page from now on, apart from what the user does. */
const NOTE_SHIFTS = `
  globalThis.shifts = [];
  new PerformanceObserver((list) => {
    for (const { sources } of list.getEntries()) {
      shifts.push(...sources.map(({ node }) => node?.className ?? node?.nodeName));
    }
  }).observe({ type: 'layout-shift' });
`;

const inBrowser = describe.skipIf(!hasBrowser);

/** A new service, and its page. */
async function begin(): Promise<void> {
  const variables = { REQUEST_TIMEOUT_MS: '1000' };
  service = await (await startService({ variables })).listening();
  ({ page, faults } = await openPage(metricsUrl(service)));
  await until(async () => (await processes()).size === 3, 'all processes in the page', WAIT_MS);
}

beforeAll(async () => {
  if (hasBrowser) await begin();
});
afterEach(() => {
  if (hasBrowser) expect(faults).toEqual([]);
});
afterAll(async () => {
  await closeBrowser();
  await endServices();
});

inBrowser('the dashboard', () => {
  test('says that there is no load yet, which version runs, and in which processes', async () => {
    await begin();
    await says('No load yet');
    expect(await page.textContent('#version')).toBe(version);
    await shows('queueLimit', (limit) => limit === 20_000);
    expect([await figure('operations'), await figure('queue')]).toEqual([0, 0]);
    const shown = await processes();
    expect([...shown.keys()]).toEqual(['supervisor', 'worker-1', 'worker-2']);
    expect([...shown.values()].slice(1).sort()).toEqual(service.workers().sort());
  });

  test('shows the load, and of it what /metrics counts', async () => {
    await settle(service);
    const before = (await read(service, 'wallet_operations_total', { outcome: 'ok' })) as number;
    await page.evaluate(NOTE_OPERATIONS);
    await page.evaluate(NOTE_SHIFTS);
    const callers = await underLoad(async () => {
      await shows('operations', (value) => value > 10);
      await shows('refused', (value) => value > 0);
      for (const name of ['done', 'p50', 'p99', 'batch', 'flight']) {
        await shows(name, (value) => value > 0);
      }
      await says('Live. Database up.');
    });
    await shows('operations', (value) => value === 0);
    const rates = await page.evaluate<number[]>('[...noted.values()]');
    const drawn = rates.reduce((sum, rate) => sum + rate, 0);
    const after = (await read(service, 'wallet_operations_total', { outcome: 'ok' })) as number;
    const applied = callers.posts.filter(({ answer }) => answer.kind === 'ok' && !answer.isReplay);
    expect(after - before).toBe(applied.length);
    expect(await page.evaluate('shifts')).toEqual([]);
    // A second of the page is one and a little more.
    expect(drawn / applied.length).toBeGreaterThan(0.7);
    expect(drawn / applied.length).toBeLessThan(1.1);
  });

  test('draws the minutes that went by for who comes later', async () => {
    await begin();
    await underLoad(() => shows('operations', (value) => value > 10));
    await shows('operations', (value) => value === 0);
    const late = await openPage(metricsUrl(service));
    const highest = (one: Page) => one.textContent('[data-figure=highest]');
    const isSame = async () => {
      const shown = await highest(late.page);
      return shown !== '–' && shown === (await highest(page));
    };
    await until(isSame, 'the same history', WAIT_MS);
    expect(await late.page.locator('canvas').count()).toBe(7);
    expect(late.faults).toEqual([]);
  });
});

inBrowser('in trouble the dashboard', () => {
  test('has another id for a worker that was killed', async () => {
    const killed = (await processes()).get('worker-1');
    strike(killed, 'SIGKILL');
    const isReplaced = async () => {
      const pid = (await processes()).get('worker-1');
      return pid !== undefined && pid !== killed && service.workers().includes(pid);
    };
    await until(isReplaced, 'another id', WAIT_MS);
  });

  test('names a worker that hangs', async () => {
    const pid = (await processes()).get('worker-2');
    const thawed = freeze(pid, 6000);
    await says(`worker-2 (${pid}) hangs`);
    await thawed;
    await says('Live');
  });

  test('cannot be overlooked while the database is away, and counts the refusals', async () => {
    await underLoad(async () => {
      const thawed = freezePostgres(service, 8000);
      await says('Database away since');
      expect(await page.title()).toContain('Database away');
      expect(await page.getAttribute('body', 'data-state')).toBe('away');
      await shows('failed', (value) => value > 0);
      await thawed;
      await says('5xx. Database up.');
    });
    expect(await page.title()).toBe('Wallet service');
  });

  test('is dark where that is preferred, and fits a phone', async () => {
    const { page } = await openPage(metricsUrl(service));
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.setViewportSize({ width: 360, height: 740 });
    const width = 'document.documentElement.scrollWidth';
    await until(async () => (await page.evaluate<number>(width)) === 360, 'a page that fits');
    const background = () => page.evaluate('getComputedStyle(document.body).backgroundColor');
    expect(await background()).toBe('rgb(13, 18, 23)');
  });

  test('says that its connection is lost, and comes back by itself', async () => {
    const { port, dataDirectory, metricsPort } = service;
    const before = await processes();
    service.signal('SIGTERM');
    await says('Connection lost at');
    expect(await page.getAttribute('body', 'data-state')).toBe('lost');
    await service.exit();
    const variables = { REQUEST_TIMEOUT_MS: '1000' };
    const again = { port, dataDirectory, metricsPort, variables };
    service = await (await startService(again)).listening();
    await says('Live');
    expect(await page.getAttribute('body', 'data-state')).toBe('live');
    const isNew = async () => (await processes()).get('supervisor') !== before.get('supervisor');
    await until(isNew, 'the new supervisor', WAIT_MS);
    // The browser complains of what it tried meanwhile, and of nothing else.
    const others = faults.filter((fault) => !/\/events|Failed to load resource/.test(fault));
    expect(others).toEqual([]);
    faults.length = 0;
  });
});
