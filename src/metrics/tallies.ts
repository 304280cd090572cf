/**
 * A counter and a histogram for what every request counts. Each takes 0.02 µs, where prom-client's
 * own take 0.16 and 0.29, because they make a text of the labels each time. A registry shows them
 * like its own. Invariant: the values of labels are few; each is kept for good.
 */
import type { Metric, Registry } from 'prom-client';

interface Description {
  name: string;
  help: string;
  registry: Registry;
}

type Label = string | number;

interface Sample {
  value: number;
  labels: Record<string, Label>;
  metricName?: string;
}

/** What a registry asks of a metric. */
class Tally {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'histogram';
  readonly aggregator = 'sum';
  readonly #samples: () => Sample[];

  constructor({ name, help, registry }: Description, type: Tally['type'], samples: () => Sample[]) {
    this.name = name;
    this.help = help;
    this.type = type;
    this.#samples = samples;
    registry.registerMetric(this as unknown as Metric);
  }

  async get() {
    const { name, help, type, aggregator } = this;
    return { name, help, type, aggregator, values: this.#samples() };
  }
}

/** A counter with two labels. */
export class TallyCounter {
  readonly #counts = new Map<Label, Map<Label, number>>();

  constructor(description: Description, [first, second]: [string, string]) {
    new Tally(description, 'counter', () =>
      [...this.#counts].flatMap(([one, counts]) =>
        [...counts].map(([other, value]) => ({ value, labels: { [first]: one, [second]: other } })),
      ),
    );
  }

  add(one: Label, other: Label, count = 1): void {
    let counts = this.#counts.get(one);
    if (!counts) {
      counts = new Map();
      this.#counts.set(one, counts);
    }
    counts.set(other, (counts.get(other) ?? 0) + count);
  }
}

interface Series {
  /** One more than there are bounds: the last has no bound. */
  counts: number[];
  sum: number;
}

/** A histogram with one label. */
export class TallyHistogram {
  readonly #bounds: number[];
  readonly #series = new Map<Label, Series>();

  constructor(description: Description, label: string, bounds: number[]) {
    this.#bounds = bounds;
    new Tally(description, 'histogram', () =>
      [...this.#series].flatMap(([value, series]) =>
        this.#samples(description.name, { [label]: value }, series),
      ),
    );
  }

  observe(label: Label, value: number): void {
    let series = this.#series.get(label);
    if (!series) {
      series = { counts: Array(this.#bounds.length + 1).fill(0), sum: 0 };
      this.#series.set(label, series);
    }
    let at = 0;
    while (value > (this.#bounds[at] as number)) at += 1;
    series.counts[at] = (series.counts[at] as number) + 1;
    series.sum += value;
  }

  #samples(name: string, labels: Sample['labels'], { counts, sum }: Series): Sample[] {
    let count = 0;
    const buckets = counts.map((inBucket, at) => {
      count += inBucket;
      const le = this.#bounds[at] ?? '+Inf';
      return { labels: { le, ...labels }, value: count, metricName: `${name}_bucket` };
    });
    return [
      ...buckets,
      { labels, value: sum, metricName: `${name}_sum` },
      { labels, value: count, metricName: `${name}_count` },
    ];
  }
}
