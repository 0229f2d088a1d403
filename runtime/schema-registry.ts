/** The schema registry, through @kafkajs/confluent-schema-registry. */
import { COMPATIBILITY, SchemaRegistry, SchemaType } from '@kafkajs/confluent-schema-registry';
import { schemas } from '../schemas/types.ts';
import type { Topic } from '../stream/topic.ts';
import { createCodec } from './codec.ts';
import type { Codec } from './codec.ts';

/** What the codecs need of a registry. */
export interface SchemaRegistryClient {
  /** The schema with this id as JSON, or undefined when the registry has none. */
  schemaById(id: number): Promise<string | undefined>;
}

/** A schema that the registry refuses. */
export class SchemaRefused extends Error {}

/**
 * Registers the schemas of `topics` under FULL_TRANSITIVE and gives a codec for each.
 * @throws SchemaRefused when a schema can't read, or be read by, every registered version.
 */
export async function openCodecs(url: string, topics: readonly Topic[]): Promise<Codecs> {
  const registry = new SchemaRegistry({ host: url, retry: { retries: 3 } });
  const client: SchemaRegistryClient = { schemaById: (id) => schemaById(url, id) };
  const codecs = new Map<string, Codec<unknown>>();
  for (const topic of topics) codecs.set(topic.name, createCodec(topic, await register(registry, url, topic), client));
  return {
    of: <V>(topic: Topic<V>) => {
      const codec = codecs.get(topic.name);
      if (!codec) throw new Error(`No codec was opened for ${topic.name}.`);
      return codec as Codec<V>;
    },
  };
}

/** The codec of each topic. */
export interface Codecs {
  of<V>(topic: Topic<V>): Codec<V>;
}

async function register(registry: SchemaRegistry, url: string, topic: Topic): Promise<number> {
  const subject = `${topic.name}-value`;
  try {
    await setCompatibility(url, subject);
    const { id } = await registry.register(
      { type: SchemaType.AVRO, schema: schemas[topic.schema] },
      { subject, compatibility: COMPATIBILITY.FULL_TRANSITIVE },
    );
    return id;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    if (!/incompatib|409/i.test(why)) throw cause;
    throw new SchemaRefused(
      `The registry refuses ${topic.schema} for ${subject}: ${why}. ` +
        'Records of the old version are still in the log; add a field with a default instead of changing one.',
      { cause },
    );
  }
}

async function setCompatibility(url: string, subject: string): Promise<void> {
  const response = await fetch(`${url}/config/${subject}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ compatibility: COMPATIBILITY.FULL_TRANSITIVE }),
  });
  // A registry that knows no subject yet may answer 404 here; `register` then sets the level with the first version.
  if (!response.ok && response.status !== 404)
    throw new Error(`The registry answered ${String(response.status)} for ${subject}: ${await response.text()}`);
}

async function schemaById(url: string, id: number): Promise<string | undefined> {
  const response = await fetch(`${url}/schemas/ids/${String(id)}`);
  if (response.status === 404) return undefined;
  if (!response.ok) throw new Error(`The registry answered ${String(response.status)} for schema ${String(id)}.`);
  return ((await response.json()) as { schema: string }).schema;
}
