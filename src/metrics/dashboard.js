// Runs in the browser: draws what /events tells, second by second. A figure is the latest one, or
// the one under the pointer; the charts point at the same moment together.

const WINDOW_SECONDS = 300;

/** A pulse comes every second; after this long without, the connection counts as lost. */
const SILENT_MS = 5000;

/** How many pulses a failure stays in the line of state. */
const RECENT = 10;

/** Beyond this many seconds, what is nearest to the pointer is not what it points at. */
const NEAR_SECONDS = 2;

/** A process that kept something waiting for this long hangs. */
const HANG_SECONDS = 2;

/** Half of what a time on an axis takes; one nearer to the edge would be cut. */
const TIME_HALF_PIXELS = 18;

const NONE = '–';
const MEBIBYTE = 2 ** 20;

const { uPlot } = globalThis;
const byId = (id) => document.getElementById(id);

// ---- What is known ----

let pulses = [];
let hovered;
let lostAt = null;

const sumOf = ({ statuses }, from, to) =>
  Object.entries(statuses)
    .filter(([status]) => Number(status) >= from && Number(status) < to)
    .reduce((sum, [, rate]) => sum + rate, 0);

const done = (pulse) => sumOf(pulse, 0, 400);
const refused = (pulse) => sumOf(pulse, 400, 500);
const failed = (pulse) => sumOf(pulse, 500, 600);

// ---- Words and numbers ----

const upTo = (most, least = 0) => {
  const digits = { minimumFractionDigits: least, maximumFractionDigits: most };
  return new Intl.NumberFormat('en', digits).format;
};
const [whole, tenths] = [upTo(0), upTo(1)];
const [exactTenths, exactHundredths] = [upTo(1, 1), upTo(2, 2)];

/** Three digits. */
const exact = (value) => {
  if (value < 10) return exactHundredths(value);
  return value < 100 ? exactTenths(value) : whole(value);
};

const number = (value) => {
  if (value === null) return NONE;
  return value < 10 ? tenths(value) : whole(value);
};

const duration = (seconds) => {
  if (seconds === null) return NONE;
  return seconds < 1 ? `${exact(seconds * 1000)} ms` : `${exact(seconds)} s`;
};

// On an axis.
const short = (value) => (value >= 1000 ? `${tenths(value / 1000)}k` : tenths(value));
const shortDuration = (seconds) =>
  seconds < 1 ? `${tenths(seconds * 1000)} ms` : `${tenths(seconds)} s`;

// The time of day is that of whoever looks.
const clock = (options) => {
  const { format } = new Intl.DateTimeFormat('en-GB', options);
  return (ms) => format(new Date(ms));
};
const timeOfDay = clock({ timeStyle: 'medium' });
const hourAndMinute = clock({ timeStyle: 'short' });

const FIGURES = {
  operations: ({ operations }) => number(operations),
  highest: () => number(Math.max(...pulses.map(({ operations }) => operations))),
  p50: ({ p50 }) => duration(p50),
  p99: ({ p99 }) => duration(p99),
  done: (pulse) => number(done(pulse)),
  refused: (pulse) => number(refused(pulse)),
  failed: (pulse) => number(failed(pulse)),
  batch: ({ batch }) => number(batch),
  flight: ({ flight }) => duration(flight),
  queue: ({ queue }) => whole(queue),
  queueLimit: ({ queueLimit }) => whole(queueLimit),
  resends: ({ resends }) => number(resends),
};

// ---- Charts ----

/** From 0, and at least up to `least`, so that noise does not look like load. */
const linear = (least) => ({
  range: (_, __, max) => [0, Math.max(least, (max ?? 0) * 1.1)],
});

/** Whole decades: what is ten times as slow stands one step higher. */
const decades = {
  distr: 3,
  range: (_, min, max) => {
    if (min === null || max === null) return [0.001, 0.1];
    const [from, to] = [Math.floor(Math.log10(min)), Math.ceil(Math.log10(max))];
    return [10 ** from, 10 ** Math.max(to, from + 1)];
  },
};

/** Decades with a zero: one refusal shows beside forty thousand answers. */
const decadesFromZero = {
  distr: 4,
  asinh: 1,
  range: (_, __, max) => {
    const top = Math.max(100, (max ?? 0) * 1.2);
    const decade = 10 ** Math.floor(Math.log10(top));
    return [0, top <= 3 * decade ? 3 * decade : 10 * decade];
  },
};

const powers = (_, __, min, max) => {
  const steps = [min];
  for (let step = min > 0 ? min * 10 : 10; step <= max * 1.001; step *= 10) steps.push(step);
  // A single decade has room for its middle.
  return min > 0 && steps.length === 2 ? [min, min * 3, max] : steps;
};

const CHARTS = {
  operations: {
    label: 'Operations applied per second',
    scale: linear(10),
    series: [{ value: ({ operations }) => operations, stroke: '--main', fill: '--main-fill' }],
  },
  latency: {
    label: 'Time to answer, half and 99 %, on a scale of decades',
    scale: decades,
    splits: powers,
    write: shortDuration,
    series: [
      { value: ({ p50 }) => p50, stroke: '--main' },
      { value: ({ p99 }) => p99, stroke: '--main', dash: [5, 4] },
    ],
    bands: [{ series: [2, 1], fill: '--main-fill' }],
  },
  answers: {
    label: 'Answers per second by class of status, on a scale of decades',
    scale: decadesFromZero,
    splits: powers,
    series: [
      { value: done, stroke: '--main' },
      { value: refused, stroke: '--other', dash: [5, 4] },
      { value: failed, stroke: '--bad', fill: '--bad-fill' },
    ],
  },
  batch: {
    label: 'Operations to a commit',
    scale: linear(4),
    series: [{ value: ({ batch }) => batch, stroke: '--main', fill: '--main-fill' }],
  },
  flight: {
    label: 'Time of a commit, on a scale of decades',
    scale: decades,
    splits: powers,
    write: shortDuration,
    series: [{ value: ({ flight }) => flight, stroke: '--main' }],
  },
  queue: {
    label: 'Requests that wait, and how many may, on a scale of decades',
    scale: decadesFromZero,
    splits: powers,
    series: [
      { value: ({ queue }) => queue, stroke: '--main', fill: '--main-fill' },
      { value: ({ queueLimit }) => queueLimit || null, stroke: '--bad', dash: [2, 4] },
    ],
  },
  resends: {
    label: 'Commits sent again per second',
    scale: linear(4),
    series: [{ value: ({ resends }) => resends, stroke: '--other' }],
  },
};

/** The right edge of every chart. */
const end = () => (pulses.at(-1)?.at ?? Date.now()) / 1000;

const style = getComputedStyle(document.documentElement);
const colour = (name) => () => style.getPropertyValue(name);

const charts = [...document.querySelectorAll('[data-chart]')].map((place) =>
  draw(place, CHARTS[place.dataset.chart]),
);

function draw(place, { label, scale, splits, write = short, series, bands = [] }) {
  place.setAttribute('role', 'img');
  place.setAttribute('aria-label', `${label}, over the last five minutes`);
  const axis = {
    stroke: colour('--quiet'),
    font: '12px system-ui, sans-serif',
    grid: { stroke: colour('--grid'), width: 1 },
    ticks: { show: false },
  };
  const chart = new uPlot(
    {
      width: place.clientWidth,
      height: place.clientHeight,
      padding: [8, 4, 0, 0],
      legend: { show: false },
      cursor: {
        sync: { key: 'time' },
        drag: { x: false, y: false },
        y: false,
        points: { size: 7 },
        dataIdx: (chart, _, index, time) => (isNear(chart, index, time) ? index : null),
      },
      scales: {
        x: {
          range: () => [end() - WINDOW_SECONDS, end()],
        },
        y: scale,
      },
      axes: [
        {
          ...axis,
          size: 24,
          incrs: [60, 120, 300],
          values: (chart, times) => {
            const hidden = (TIME_HALF_PIXELS / chart.over.clientWidth) * WINDOW_SECONDS;
            const text = (time) => (time < end() - hidden ? hourAndMinute(time * 1000) : '');
            return times.map(text);
          },
        },
        {
          ...axis,
          size: 52,
          space: 26,
          gap: 6,
          ...(splits ? { splits } : {}),
          values: (_, values) => values.map((value) => (value === null ? '' : write(value))),
          filter: (_, values) => values,
        },
      ],
      series: [
        {},
        ...series.map(({ stroke, fill, dash }) => ({
          stroke: colour(stroke),
          ...(fill ? { fill: colour(fill) } : {}),
          ...(dash ? { dash } : {}),
          width: 1.75,
          points: { show: false },
        })),
      ],
      bands: bands.map(({ fill, ...band }) => ({ ...band, fill: colour(fill) })),
      hooks: { drawClear: [shadeAway], setCursor: [point] },
    },
    [[], ...series.map(() => [])],
    place,
  );
  new ResizeObserver(() => {
    chart.setSize({ width: place.clientWidth, height: place.clientHeight });
  }).observe(place);
  return { chart, values: series.map(({ value }) => value) };
}

const isNear = ({ data: [times] }, index, time) => Math.abs(times[index] - time) <= NEAR_SECONDS;

/** The seconds without the database stand out in every chart. */
function shadeAway(chart) {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.fillStyle = colour('--bad-fill')();
  for (const { at } of pulses.filter(({ isDatabaseUp }) => !isDatabaseUp)) {
    const [from, to] = [at / 1000 - 1, at / 1000].map((time) => chart.valToPos(time, 'x', true));
    const left = Math.max(bbox.left, Math.round(from));
    ctx.fillRect(left, bbox.top, Math.max(0, Math.round(to) - left), bbox.height);
  }
  ctx.restore();
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  for (const { chart } of charts) chart.redraw(false, true);
});

// ---- The page ----

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function render() {
  const shown = hovered ?? pulses.at(-1);
  if (!shown) return;
  write(byId('tense'), hovered ? 'at' : 'now');
  document.body.toggleAttribute('data-looksback', hovered !== undefined);
  write(byId('time'), timeOfDay(shown.at));
  for (const element of document.querySelectorAll('[data-figure]')) {
    write(element, FIGURES[element.dataset.figure](shown));
  }
  document.querySelector('[data-figure=failed]').toggleAttribute('data-isbad', failed(shown) > 0);
  renderProcesses(shown.processes);
}

function renderProcesses(processes) {
  const rows = byId('rows');
  while (rows.rows.length > processes.length) rows.deleteRow(-1);
  for (const [at, { name, pid, cpu, state }] of processes.entries()) {
    const row = rows.rows[at] ?? addRow(rows);
    const texts = [
      name,
      String(pid),
      cpu === null ? NONE : `${whole(cpu * 100)} %`,
      state ? `${whole(state.residentBytes / MEBIBYTE)} MiB` : NONE,
      state ? duration(state.lagSeconds) : NONE,
    ];
    for (const [column, text] of texts.entries()) write(row.cells[column], text);
    row.cells[4].toggleAttribute('data-isbad', state?.lagSeconds > HANG_SECONDS);
  }
}

function addRow(rows) {
  const row = rows.insertRow();
  const name = document.createElement('th');
  name.scope = 'row';
  row.append(name, ...[1, 2, 3, 4].map(() => document.createElement('td')));
  return row;
}

/** The worst that is true, in words. It changes only when that does: it is read aloud. */
function state() {
  const latest = pulses.at(-1);
  if (lostAt !== null) {
    return ['lost', `Connection lost at ${timeOfDay(lostAt)}. Trying again…`];
  }
  if (!latest) return ['connecting', 'Connecting…'];
  if (!latest.isDatabaseUp) {
    const lastUp = pulses.findLast(({ isDatabaseUp }) => isDatabaseUp);
    const since = lastUp ? `since ${timeOfDay(lastUp.at)}` : 'for five minutes and more';
    return ['away', `Database away ${since}. Requests wait, then are refused.`];
  }
  const hanging = latest.processes.find(({ state }) => state?.lagSeconds > HANG_SECONDS);
  if (hanging) return ['warning', `${hanging.name} (${hanging.pid}) hangs. Database up.`];
  if (pulses.slice(-RECENT).some((pulse) => failed(pulse) > 0)) {
    return ['warning', 'Requests are refused with a 5xx. Database up.'];
  }
  const hasLoad = pulses.some(({ operations, p50 }) => operations > 0 || p50 !== null);
  return ['live', hasLoad ? 'Live. Database up.' : 'Live. Database up. No load yet.'];
}

function renderState() {
  const [name, text] = state();
  document.body.dataset.state = name;
  write(byId('state'), text);
  document.title = name === 'away' ? 'Database away: wallet service' : 'Wallet service';
}

/** A second that is missing is a gap, not a line. */
function columns(values) {
  const rows = pulses.flatMap((pulse, at) => {
    const row = [pulse.at / 1000, ...values.map((value) => value(pulse))];
    const before = pulses[at - 1];
    const isGap = before && pulse.at - before.at > 3000;
    return isGap ? [[before.at / 1000 + 1, ...values.map(() => null)], row] : [row];
  });
  return [0, ...values.keys().map((at) => at + 1)].map((at) => rows.map((row) => row[at]));
}

function renderAll() {
  for (const { chart, values } of charts) chart.setData(columns(values));
  render();
  renderState();
}

/** The pointer is on a chart, or has left it; all charts have the same moments. */
function point(chart) {
  const { idx: index, left } = chart.cursor;
  const isOn = left >= 0 && index != null && isNear(chart, index, chart.posToVal(left, 'x'));
  const next = isOn ? pulses.find(({ at }) => at / 1000 === chart.data[0][index]) : undefined;
  if (next === hovered) return;
  hovered = next;
  requestAnimationFrame(render);
}

// ---- The connection ----

let source;
let heardAt;

function add(more) {
  heardAt = Date.now();
  lostAt = null;
  const [first] = more;
  if (!first) return;
  // A service that was started anew has forgotten what we have seen.
  pulses = [...pulses.filter(({ at }) => at < first.at), ...more];
  const begin = more.at(-1).at - WINDOW_SECONDS * 1000;
  pulses = pulses.filter(({ at }) => at >= begin);
  renderAll();
}

function lose() {
  lostAt ??= pulses.length > 0 ? Date.now() : null;
  renderState();
}

function open() {
  source?.close();
  heardAt = Date.now();
  source = new EventSource('/events');
  source.addEventListener('service', ({ data }) => {
    write(byId('version'), JSON.parse(data).version);
  });
  source.addEventListener('history', ({ data }) => add(JSON.parse(data)));
  source.addEventListener('pulse', ({ data }) => add([JSON.parse(data)]));
  // The browser itself tries again, unless it was turned away; then we do, below.
  source.addEventListener('error', lose);
}

open();
setInterval(() => {
  if (Date.now() - heardAt < SILENT_MS) return;
  lose();
  open();
}, 1000);
