/** Dead letters of the runners: writing those of components that only read, and the lines of the log about all of them. */
import type { Producer } from 'node-rdkafka';
import type { Logger } from 'pino';
import type { KafkaConfig } from '../config.ts';
import type { DeadLetter } from '../schemas/types.ts';
import type { Poisoned, RawRecord } from '../stream/batch.ts';
import { deadLetter } from '../stream/batch.ts';
import { subjectOf } from '../stream/event-key.ts';
import type { Poison } from '../stream/poison.ts';
import type { Topic } from '../stream/topic.ts';
import { librdkafkaConfig, MAX_MESSAGE_BYTES } from './kafka-clients.ts';
import { traceFields } from './log.ts';
import { call, connectProducer, disconnect, headersOf } from './rdkafka.ts';
import type { Codecs } from './schema-registry.ts';

/** Writes dead letters for components that only read. At least once: a component that fails after a write repeats it. */
export interface DeadLetterWriter {
  /** Resolves when Kafka has the letter. Call it for one letter at a time. @throws Transient when Kafka does not take it now. */
  write(component: string, raw: RawRecord, poison: Poison): Promise<void>;
  close(): Promise<void>;
}

/** How long Kafka may take to acknowledge a letter, and how often the client is polled for delivery reports. */
const WRITE_MS = 10_000;
const REPORTS_MS = 5;

/** A writer to `topic`. It connects with the first letter. */
export function deadLetterWriter(kafka: KafkaConfig, codecs: Codecs, topic: Topic<DeadLetter>): DeadLetterWriter {
  let connecting: Promise<Producer> | undefined;
  const connect = () => {
    connecting ??= connectProducer(
      {
        ...librdkafkaConfig(kafka, 'dead-letters'),
        'enable.idempotence': true,
        'message.max.bytes': MAX_MESSAGE_BYTES,
        dr_cb: true,
      },
      { 'message.timeout.ms': WRITE_MS },
    ).then((producer) => {
      producer.setPollInterval(REPORTS_MS);
      return producer;
    });
    connecting.catch(() => (connecting = undefined));
    return connecting;
  };
  async function close(): Promise<void> {
    const producer = await connecting?.catch(() => undefined);
    connecting = undefined;
    if (producer) await disconnect(producer);
  }
  return {
    async write(component, raw, poison) {
      const producer = await connect();
      const value = codecs.of(topic).encode(deadLetter(component, raw, poison));
      try {
        // A refused letter also leaves the client's queue, so only a delivery report proves that Kafka has it. The letter gets the current time:
        // a topic without LogAppendTime would drop the letter of an old record at once.
        await call('writing a dead letter', (done) => {
          producer.once('delivery-report', (error) => done(error, undefined));
          producer.produce(topic.name, null, value, raw.key, Date.now(), undefined, headersOf(raw.traceparent));
        });
      } catch (error) {
        await close(); // the outcome is unknown, so the next letter needs a new producer
        throw error;
      }
    },
    close,
  };
}

/** How many dead letters of a batch are logged: a broken producer must not fill the log's disk. */
const MAX_LOGGED = 20;
/** An id has at most 200 UTF-16 code units, which take at most three bytes each. */
const MAX_LOGGED_KEY_BYTES = 600;

/** Logs records that became dead letters: place, trace, and the subject of the key under the name that its topic in `topics` gives it. */
export function logPoisoned(log: Logger, topics: readonly Topic[], poisoned: readonly Poisoned[]): void {
  for (const [{ topic, partition, offset, key, traceparent }, { code }] of poisoned.slice(0, MAX_LOGGED)) {
    const keyName = topics.find(({ name }) => name === topic)?.key.replaceAll(/\W+/g, '_') ?? 'key';
    const subject = key && subjectOf(key.toString('utf8', 0, MAX_LOGGED_KEY_BYTES));
    const about = { [keyName]: subject, ...traceFields(traceparent) };
    log.warn({ code, topic, partition, offset, ...about }, 'dead letter');
  }
  if (poisoned.length > MAX_LOGGED) log.warn({ more: poisoned.length - MAX_LOGGED }, 'and more dead letters');
}
