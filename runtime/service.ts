/** A component that is neither processor nor projection: it reads the log as it needs, and writes to it on its own account. */
import type { Pool } from 'pg';
import type { Logger } from 'pino';
import type { Config, KafkaConfig, Servers } from '../config.ts';
import type { Topic } from '../stream/topic.ts';
import type { Codecs } from './schema-registry.ts';
import type { Background } from './sessions.ts';

/** What a service is given. */
export interface ServiceContext {
  readonly config: Config;
  readonly kafka: KafkaConfig;
  /** For a process that the service starts. */
  readonly servers: Servers;
  readonly codecs: Codecs;
  readonly pool: Pool;
  readonly log: Logger;
  /** Waits until everything that has come is in the tables, while more keeps coming. Rejects when nothing moves. */
  readonly untilPassed: () => Promise<void>;
}

/** A running service. */
export interface RunningService extends Background {
  stats(): Readonly<Record<string, number>>;
}

/** What something that is no processor and no projection does in Kafka; its rights are made from it. */
export interface Access {
  readonly reads: readonly Topic[];
  readonly writes: readonly Topic[];
  readonly transactionalIds: readonly string[];
  /** Whether it asks how far the processors are. */
  readonly watchesProgress?: boolean;
}

/** A service as a value. */
export interface Service {
  /** Name of its file, consumer group, metrics label and CLI argument. */
  readonly name: string;
  readonly does: string;
  readonly access: Access;
  /** Returns at once; sessions come and go in the background. */
  start(context: ServiceContext): RunningService;
}
