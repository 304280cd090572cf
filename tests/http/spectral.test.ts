/**
 * The OpenAPI document under Spectral's rules for OpenAPI (`spectral:oas`, as its `recommended`
 * set is called on the command line). Nothing is looked up on the network.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { type RulesetDefinition, Spectral } from '@stoplight/spectral-core';
import { oas } from '@stoplight/spectral-rulesets';
import { startApp, type TestApp } from '../helpers/app.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.stop());

/** Each finding, of whatever severity, as its rule and its place. */
async function findings(document: Record<string, unknown>): Promise<string[]> {
  const spectral = new Spectral();
  spectral.setRuleset({ extends: [[oas as RulesetDefinition, 'recommended']] });
  const results = await spectral.run(document);
  return results.map(({ code, path, message }) => `${code} at ${path.join('/')}: ${message}`);
}

test('Spectral finds nothing in the document, not even a warning', async () => {
  const { text } = await app.request('/swagger/json');
  expect(await findings(JSON.parse(text))).toEqual([]);
});

test('Spectral would find what is missing, and an example that does not fit', async () => {
  const { text } = await app.request('/swagger/json');
  const { servers: _, ...rest } = JSON.parse(text.replace('"amount":42}', '"amount":"42"}'));
  const rules = (await findings(rest)).map((finding) => finding.split(' ')[0]);
  expect(rules).toEqual(['oas3-api-servers', 'oas3-valid-media-example']);
});
