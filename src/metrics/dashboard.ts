/**
 * The page for people, and all that it loads.
 * Invariant: nothing comes from another host; the charts are drawn by uPlot out of its package.
 */
import { dirname, join } from 'node:path';

const own = (name: string) => join(import.meta.dir, name);

const uplot = dirname(Bun.resolveSync('uplot/dist/uPlot.min.css', import.meta.dir));

/** The files of the page by their paths. */
export const DASHBOARD_FILES: Record<string, string> = {
  '/': own('dashboard.html'),
  '/dashboard.css': own('dashboard.css'),
  '/dashboard.js': own('dashboard.js'),
  '/uplot.css': join(uplot, 'uPlot.min.css'),
  '/uplot.js': join(uplot, 'uPlot.iife.min.js'),
};
