/** Prometheus metrics of one process: what its components did, whether they can work, and what it costs. */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';

/** What is measured, as of now. */
export interface ProcessFigures {
  /** By component: counters since the start, and how many partitions it has. */
  readonly stats: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** By component or server: `ok`, or a sentence. */
  readonly states: Readonly<Record<string, string>>;
}

/** What waits in the whole pipeline; the process with the API asks, so that not every copy does. */
export interface Backlog {
  readonly lag: readonly { readonly component: string; readonly topic: string; readonly lag: number }[];
  /** Conversations that wait for a person. */
  readonly waiting: number;
}

/** Counters of components, by their name in `stats`: the metric, and what it says. They start at 0 with the process. */
const COUNTERS: Readonly<Record<string, readonly [name: string, help: string]>> = {
  processed: ['samvad_component_records_total', 'Records processed and committed'],
  transactions: ['samvad_component_transactions_total', 'Transactions committed'],
  deadLetters: ['samvad_component_dead_letters_total', 'Records set aside as dead letters'],
  sessions: ['samvad_component_sessions_total', 'Sessions begun; each failure and each start begins one'],
};
const GAUGES: typeof COUNTERS = {
  assigned: ['samvad_component_partitions', 'Partitions assigned to this copy'],
  leading: ['samvad_component_leading', '1 when this copy of a service is the one at work'],
};

/** A registry whose metrics are read when it is asked. Without `backlog`, those of the whole pipeline are not in it. */
export function processMetrics(figures: () => ProcessFigures, backlog?: () => Promise<Backlog>): Registry {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const valuesOf = (stat: string) =>
    Object.entries(figures().stats).flatMap(([component, stats]) =>
      stats[stat] === undefined ? [] : [[component, stats[stat]] as const],
    );
  for (const [stat, [name, help]] of Object.entries(COUNTERS)) {
    new Counter({
      ...{ name, help, registers, labelNames: ['component'] },
      collect() {
        this.reset();
        for (const [component, value] of valuesOf(stat)) this.inc({ component }, value);
      },
    });
  }
  for (const [stat, [name, help]] of Object.entries(GAUGES)) {
    new Gauge({
      ...{ name, help, registers, labelNames: ['component'] },
      collect() {
        for (const [component, value] of valuesOf(stat)) this.set({ component }, value);
      },
    });
  }
  new Gauge({
    name: 'samvad_part_ready',
    help: '1 when a server answers or a component can work, as /readyz says',
    ...{ registers, labelNames: ['part'] },
    collect() {
      for (const [part, state] of Object.entries(figures().states)) this.set({ part }, Number(state === 'ok'));
    },
  });
  if (backlog) backlogMetrics(registers, backlog);
  return registry;
}

/** While Kafka or Postgres do not answer these are absent: a gap in a chart is truer than an old figure. */
function backlogMetrics(registers: Registry[], backlog: () => Promise<Backlog>): void {
  const waiting = new Gauge({
    ...{ name: 'samvad_review_queue_conversations', help: 'Conversations that wait for a person', registers },
  });
  new Gauge({
    name: 'samvad_lag_records',
    help: 'Records between a component and the end of what it reads, over all copies',
    ...{ registers, labelNames: ['component', 'topic'] },
    async collect() {
      this.reset();
      waiting.remove();
      const now = await backlog().catch(() => undefined);
      if (!now) return;
      waiting.set(now.waiting);
      for (const { component, topic, lag } of now.lag) this.set({ component, topic }, lag);
    },
  });
}
