/** The documentation page in a real browser, under its own strict policy. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { operationText, startApp, type TestApp } from '../helpers/app.ts';
import { closeBrowser, hasBrowser, openPage } from '../helpers/browser.ts';
import { freshWalletId, storedBalance } from '../helpers/database.ts';

setDefaultTimeout(60_000);

/** The least integer that a browser's own numbers cannot hold. */
const INEXACT = 9007199254740993n;

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => Promise.all([app.stop(), closeBrowser()]));

describe.skipIf(!hasBrowser)('in a browser the documentation page', () => {
  test('lists the operations, makes a deposit, and shows its exact answer', async () => {
    const { page, faults } = await openPage(`${app.url}/swagger`);
    const operations = page.locator('.opblock');
    await operations.first().waitFor();
    expect(await operations.locator('.opblock-summary-path').allTextContents()).toEqual([
      '/api/v1/wallets',
      '/api/v1/wallets/{id}',
      '/api/v1/wallets/{id}/operations',
    ]);

    const id = freshWalletId();
    const deposit = operations.first();
    await deposit.locator('.opblock-summary-control').click();
    await deposit.locator('textarea').fill(operationText(id, 'DEPOSIT', INEXACT));
    await deposit.getByRole('button', { name: 'Execute' }).click();
    const answer = deposit.locator('.live-responses-table tbody');
    await answer.locator('pre').first().waitFor();
    expect(await answer.textContent()).toContain(`"amount": ${INEXACT}`);
    expect(await storedBalance(id)).toBe(INEXACT);
    expect(faults).toEqual([]);
  });

  test('offers a deposit that is applied as it stands there', async () => {
    const { page, faults } = await openPage(`${app.url}/swagger`);
    const deposit = page.locator('.opblock').first();
    await deposit.locator('.opblock-summary-control').click();
    await deposit.getByRole('button', { name: 'Execute' }).click();
    const status = deposit.locator('.live-responses-table tbody .response-col_status').first();
    expect(await status.textContent()).toBe('200');
    expect(faults).toEqual([]);
  });
});
