/** A component that is neither a processor nor a projection: it reads and writes the log with clients of its own. */
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
  /** Waits until everything that has arrived by now is in the tables, while more keeps arriving. Rejects when there is no progress. */
  readonly untilPassed: () => Promise<void>;
}

/** A running service. */
export interface RunningService extends Background {
  stats(): Readonly<Record<string, number>>;
}

/** What a client that is neither a processor nor a projection does in Kafka. Its rights in Kafka are derived from this. */
export interface Access {
  readonly reads: readonly Topic[];
  readonly writes: readonly Topic[];
  readonly transactionalIds: readonly string[];
  /** Whether it reads the positions of the processors. */
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
