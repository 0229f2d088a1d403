/** Starts processors, projections and services by name, and reports the state of each. */
import { processors, projections, services, writerOf } from '../pipeline.ts';
import { deadLetterWriter } from '../runtime/dead-letter-writer.ts';
import type { CommittedBatch } from '../runtime/group-session.ts';
import { startProcessor } from '../runtime/processor-runner.ts';
import { startProjection } from '../runtime/projection-runner.ts';
import type { Codecs } from '../runtime/schema-registry.ts';
import type { WatchedServer } from '../runtime/server-watch.ts';
import type { RunningService, ServiceContext } from '../runtime/service.ts';
import { graphProblems } from '../stream/graph.ts';
import { PARTITIONS, topics } from '../topology.ts';
import { folderOf } from './environment.ts';
import type { Prepared } from './environment.ts';
import { untilPassed } from './lag.ts';
import { onStandBy } from './stand-by.ts';
import type { StandBy } from './stand-by.ts';
import { UsageError } from './terminal.ts';

/** Names that `samvad run` accepts. */
export const componentNames: readonly string[] = [...processors, ...projections, ...services].map(({ name }) => name);

/** Names that stand for several components. */
const groups: ReadonlyMap<string, readonly string[]> = new Map([
  ['all', componentNames],
  ['pipeline', [...processors, ...projections].map(({ name }) => name)],
]);

/** The components that `names` stand for. */
function named(names: readonly string[]): ReadonlySet<string> {
  return new Set(names.flatMap((name) => groups.get(name) ?? [name]));
}

/** Whether any of the components needs Postgres. Only processors do not. */
export function needTables(names: readonly string[]): boolean {
  return [...named(names)].some((name) => processors.every((processor) => processor.name !== name));
}

/** Components that run in this process. */
export interface RunningComponents {
  /** Resolves when each component has started. */
  readonly started: Promise<void>;
  /** Rejects when a component fails with an error that it can't recover from. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
  stats(): Record<string, Readonly<Record<string, number>>>;
  /** By component: `ok`, or a sentence about what it waits for or what failed. */
  states(): Record<string, string>;
}

/** The context of a service or job with this name. */
export function contextOf({ config, servers, codecs, pool, log }: Prepared, name: string): ServiceContext {
  return {
    config,
    kafka: servers.kafka,
    servers,
    codecs,
    pool,
    log: log.child({ component: name }),
    untilPassed: () => untilPassed(servers, pool),
  };
}

/**
 * Starts the components with these names; `all` means every one, `pipeline` the processors and projections. With a `StandBy`, each
 * component starts when the servers that it needs are ready; processors do not wait for Postgres.
 */
export async function startComponents(
  names: readonly string[],
  ground: Prepared | StandBy,
): Promise<RunningComponents> {
  const components = startWhenReady(names, onStandBy(ground));
  if (!('openLog' in ground)) await components.started;
  return components;
}

function startWhenReady(names: readonly string[], ground: StandBy): RunningComponents {
  const problems = graphProblems(processors, Object.values(topics));
  if (problems.length > 0) throw new UsageError(`pipeline.ts can't be run. ${problems.join(' ')}`);
  const wanted = named(names);
  for (const name of wanted) {
    if (!componentNames.includes(name))
      throw new UsageError(`There is no component ${name}. There are: ${componentNames.join(', ')}, pipeline, or all.`);
  }
  const { config, servers, pool, measurements, tracing } = ground;
  const committed = (component: string) => (batch: CommittedBatch) => {
    measurements.committed(component, batch);
    tracing.committed(component, batch, writerOf);
  };
  const log = (component: string) => ground.log.child({ component });
  const ofWanted = <T extends { readonly name: string }>(all: readonly T[]) =>
    all.filter(({ name }) => wanted.has(name));
  const closers: (() => Promise<void>)[] = [];
  const processing = ofWanted(processors).map((processor) =>
    deferred(ground, processor.name, false, (codecs) =>
      startProcessor({
        processor,
        kafka: servers.kafka,
        codecs,
        deadLetters: topics.deadLetters,
        partitions: PARTITIONS,
        stateFolder: folderOf(config, 'state', processor.name),
        log: log(processor.name),
        onCommit: committed(processor.name),
      }),
    ),
  );
  const projecting = ofWanted(projections).map((projection) =>
    deferred(ground, projection.name, true, (codecs) => {
      const deadLetters = deadLetterWriter(servers.kafka, codecs, topics.deadLetters);
      closers.push(() => deadLetters.close());
      return startProjection({
        projection,
        kafka: servers.kafka,
        codec: codecs.of(projection.topic),
        pool,
        log: log(projection.name),
        onPoison: (record, poison) => deadLetters.write(projection.name, record, poison),
        onCommit: committed(projection.name),
      });
    }),
  );
  const acting = ofWanted(services).map((service) =>
    deferred(ground, service.name, true, (codecs) => service.start(contextOf({ ...ground, codecs }, service.name))),
  );
  const components = [...processing, ...projecting, ...acting];
  const failed = Promise.race(
    components.map(({ finished }) => finished.then(() => new Promise<never>(() => undefined))),
  );
  const started = Promise.all(components.map((component) => component.started)).then(() => undefined);
  for (const outcome of [started, failed]) outcome.catch(() => undefined); // the caller handles it
  return {
    started,
    failed,
    async stop() {
      // All of them, whatever one says: Node does not end while a consumer of another leaves its group, which needs this thread.
      const ends = await Promise.allSettled(components.map((component) => component.stop()));
      for (const close of closers) await close();
      for (const end of ends) if (end.status === 'rejected') throw end.reason;
    },
    stats: () => Object.fromEntries(components.map((component) => [component.name, { ...component.stats() }])),
    states: () => Object.fromEntries(components.map((component) => [component.name, component.state()])),
  };
}

interface Deferred extends RunningService {
  readonly name: string;
  readonly started: Promise<void>;
}

/** A component that starts once the log is ready, and with `onTables` also the tables. */
function deferred(
  { openLog, openTables, watch }: StandBy,
  name: string,
  onTables: boolean,
  start: (codecs: Codecs) => RunningService,
): Deferred {
  let running: RunningService | undefined;
  let stopped = false;
  const needs: readonly WatchedServer[] = onTables ? ['kafka', 'postgres'] : ['kafka'];
  const started = Promise.all([openLog.done, onTables ? openTables.done : undefined]).then(([codecs]) => {
    if (!stopped) running = start(codecs);
  });
  const finished = started.then(() => running?.finished);
  finished.catch(() => undefined); // reported by `failed`
  return {
    name,
    started,
    finished,
    state() {
      if (!running) return openLog.waiting() ?? (onTables ? openTables.waiting() : undefined) ?? 'It starts.';
      const away = needs.find((server) => watch.state(server) !== 'ok');
      return away === undefined ? running.state() : `It waits for ${away}: ${watch.state(away)}`;
    },
    stats: () => running?.stats() ?? {},
    async stop() {
      stopped = true;
      await running?.stop();
    },
  };
}
