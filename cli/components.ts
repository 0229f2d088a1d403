/** Starts processors, projections and services by name, and tells how far each has come. */
import { processors, projections, services } from '../pipeline.ts';
import { startProcessor } from '../runtime/processor-runner.ts';
import { startProjection } from '../runtime/projection-runner.ts';
import { openDeadLetterWriter } from '../runtime/dead-letters.ts';
import { PARTITIONS, topics } from '../topology.ts';
import { folderOf } from './environment.ts';
import type { Prepared } from './environment.ts';
import { UsageError } from './terminal.ts';

/** Names that `samvad run` takes. */
export const componentNames: readonly string[] = [...processors, ...projections, ...services].map(({ name }) => name);

/** Names that stand for several components. */
const groups: Readonly<Record<string, readonly string[]>> = {
  all: componentNames,
  pipeline: [...processors, ...projections].map(({ name }) => name),
};

/** Components that run in this process. */
export interface RunningComponents {
  /** Rejects when one of them met an error that it can't mend. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
  stats(): Record<string, Readonly<Record<string, number>>>;
}

/** Starts the components with these names; `all` means every one, `pipeline` the processors and projections. */
export async function startComponents(names: readonly string[], prepared: Prepared): Promise<RunningComponents> {
  const wanted = new Set(names.flatMap((name) => groups[name] ?? [name]));
  for (const name of wanted) {
    if (!componentNames.includes(name))
      throw new UsageError(`There is no component ${name}. There are: ${componentNames.join(', ')}, pipeline, or all.`);
  }
  const { config, servers, codecs, pool, log } = prepared;
  const processing = processors
    .filter(({ name }) => wanted.has(name))
    .map((processor) => ({
      name: processor.name,
      ...startProcessor({
        processor,
        kafka: servers.kafka,
        codecs,
        deadLetters: topics.deadLetters,
        partitions: PARTITIONS,
        stateFolder: folderOf(config, 'state', processor.name),
        log: log.child({ component: processor.name }),
      }),
    }));
  const chosen = projections.filter(({ name }) => wanted.has(name));
  const deadLetters =
    chosen.length > 0 ? await openDeadLetterWriter(servers.kafka, codecs, topics.deadLetters) : undefined;
  const runners = chosen.map((projection) => ({
    name: projection.name,
    ...startProjection({
      projection,
      kafka: servers.kafka,
      codec: codecs.of(projection.topic),
      pool,
      log: log.child({ component: projection.name }),
      onPoison: async (record, poison) => deadLetters?.write(projection.name, record, poison),
    }),
  }));
  const acting = services
    .filter(({ name }) => wanted.has(name))
    .map((service) => ({
      name: service.name,
      ...service.start({ config, kafka: servers.kafka, codecs, pool, log: log.child({ component: service.name }) }),
    }));
  const components = [...processing, ...runners, ...acting];
  return {
    failed: Promise.race(components.map(({ finished }) => finished.then(() => new Promise<never>(() => undefined)))),
    async stop() {
      await Promise.all(components.map((component) => component.stop()));
      await deadLetters?.close();
    },
    stats: () => Object.fromEntries(components.map((component) => [component.name, { ...component.stats() }])),
  };
}
