/**
 * Draws the results as an SVG of horizontal bars: a group for each workload, a bar for each
 * contender. It brings its own background and follows the reader's light or dark preference.
 */
import { CONTENDERS, type ContenderName } from './contenders.ts';
import type { BenchResults } from './results.ts';
import type { Standing, WorkloadResult } from './rounds.ts';
import { percent, whole } from './statistics.ts';

const WIDTH = 860;
const MARGIN = 24;
const BARS_X = MARGIN;
const BARS_WIDTH = WIDTH - 2 * MARGIN - 230;
const BAR = 14;
const BAR_STEP = 18;
const TITLE_STEP = 22;
const GROUP_GAP = 16;
const HEAD = 74;

const CLASSES: Record<ContenderName, string> = {
  ceiling: 'ceiling',
  'group commit': 'ours',
  'one commit per request': 'classical',
  pgbench: 'pgbench',
};

const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .title { font-size: 17px; font-weight: 600; }
  .name { font-weight: 600; }
  .note { fill: #59636e; font-size: 12px; }
  .paper { fill: #ffffff; stroke: #d1d9e0; }
  .ceiling { fill: #afb8c1; } .ours { fill: #1a7f5a; }
  .classical { fill: #bc6c25; } .pgbench { fill: #7d6bb0; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .note { fill: #9198a1; }
    .paper { fill: #0d1117; stroke: #3d444d; }
    .ceiling { fill: #57606a; } .ours { fill: #3fb68b; }
    .classical { fill: #d98d46; } .pgbench { fill: #a393d6; }
  }`;

const escapeXml = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

const text = (x: number, y: number, content: string, className = '') =>
  `<text x="${x}" y="${y}" class="${className}">${escapeXml(content)}</text>`;

const rectangle = (x: number, y: number, width: number, className: string) =>
  `<rect x="${x}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="2" ` +
  `class="${className}"/>`;

/** @returns the SVG's text. */
export function drawChart({ workloads, machine, rounds }: BenchResults): string {
  const rates = workloads.flatMap(({ standings }) => standings.map((one) => one.perSecond));
  const scale = BARS_WIDTH / Math.max(1, ...rates);
  const parts: string[] = [];
  let y = HEAD;
  for (const workload of workloads) {
    parts.push(drawGroup(workload, y, scale));
    y += TITLE_STEP + workload.standings.length * BAR_STEP + GROUP_GAP;
  }
  const system = `${machine.processor}, ${machine.cores} cores, ${machine.fileSystem}`;
  const versions = `Bun ${machine.bun}, PostgreSQL ${machine.postgresql}, ${machine.generator}`;
  const note = `medians of ${rounds} alternating rounds; ${system}; ${versions}`;
  const height = y + 14;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img">
<title>Requests answered per second, by workload and contender</title>
<style>${STYLE}
</style>
<rect class="paper" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="6"/>
${text(MARGIN, 32, 'Requests answered per second, two workers', 'title')}
${drawLegend(54)}
${parts.join('\n')}
${text(MARGIN, height - 12, note, 'note')}
</svg>
`;
}

function drawLegend(y: number): string {
  const step = 180;
  return CONTENDERS.map((name, at) => {
    const x = MARGIN + at * step;
    return rectangle(x, y - 12, BAR, CLASSES[name]) + text(x + BAR + 6, y, name, 'note');
  }).join('\n');
}

function drawGroup({ title, connections, standings }: WorkloadResult, y: number, scale: number) {
  const name = title.includes('connections') ? title : `${title}, ${connections} connections`;
  const ceiling = standings.find((one) => one.name === 'ceiling');
  const bars = standings.map((standing, at) => {
    const top = y + TITLE_STEP - 8 + at * BAR_STEP;
    const width = Math.max(1, standing.perSecond * scale);
    const label = describe(standing, ceiling);
    return [
      rectangle(BARS_X, top, width, CLASSES[standing.name]),
      text(BARS_X + width + 8, top + 12, label, standing.name === 'group commit' ? 'name' : ''),
    ].join('');
  });
  return [text(BARS_X, y + 8, name, 'name'), ...bars].join('\n');
}

function describe({ name, variant, perSecond }: Standing, ceiling: Standing | undefined): string {
  const rate = `${whole(perSecond)}/s`;
  if (name === 'group commit' && ceiling) {
    return `${rate}  ${percent(perSecond / ceiling.perSecond)} of the ceiling`;
  }
  return variant === undefined ? rate : `${rate}  ${variant}`;
}
