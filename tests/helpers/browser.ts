/**
 * A page in a real browser, Chromium, without a window.
 * Invariant: what is not as it should be is collected from the first request on: errors on the
 * console, violations of the page's policy, requests that fail or go to another host.
 */
import { type Browser, chromium, type Page } from 'playwright-core';

const START_MAX_MS = 30_000;
const STEP_MAX_MS = 15_000;

const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const program = Bun.which('chromium');

/** For `skipIf`; says so, because a test that is not run proves nothing. */
export const hasBrowser = program !== null;
if (!hasBrowser) console.warn('SKIPPED: no page is tried in a browser, chromium is not installed');

/** Runs in the page before any script of its own. */
const REPORT_VIOLATIONS = `
  document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
    console.error('violates ' + violatedDirective + ': ' + blockedURI);
  });
`;

interface OpenPage {
  page: Page;
  /** All that went wrong so far, a line each. */
  faults: string[];
}

let browser: Promise<Browser> | undefined;

/** Opens a page that shares nothing with others, in the one browser. */
export async function openPage(url: string): Promise<OpenPage> {
  if (program === null) throw new Error('chromium is not installed');
  const options = { executablePath: program, args: ARGUMENTS, timeout: START_MAX_MS };
  browser ??= chromium.launch(options);
  const page = await (await browser).newPage();
  page.setDefaultTimeout(STEP_MAX_MS);
  const faults = collectFaults(page, new URL(url).origin);
  await page.addInitScript({ content: REPORT_VIOLATIONS });
  await page.goto(url);
  return { page, faults };
}

function collectFaults(page: Page, origin: string): string[] {
  const faults: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) faults.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => faults.push(`thrown: ${error.message}`));
  page.on('requestfailed', (request) => faults.push(`failed: ${request.url()}`));
  page.on('request', (request) => {
    const { protocol, origin: asked } = new URL(request.url());
    if (asked !== origin && protocol !== 'data:') faults.push(`foreign: ${request.url()}`);
  });
  page.on('response', (response) => {
    if (response.status() >= 400) faults.push(`${response.status()}: ${response.url()}`);
  });
  return faults;
}

/** To be called after each file that opens pages. */
export async function closeBrowser(): Promise<void> {
  const opened = browser;
  browser = undefined;
  await (await opened)?.close();
}
