/** Loaded before every test file: ends what the test helpers started for the whole run. */
import { afterAll } from 'bun:test';
import { stopTestDatabase } from './helpers/database.ts';

afterAll(stopTestDatabase);
