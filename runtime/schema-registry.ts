/** The schema registry, through @kafkajs/confluent-schema-registry. */
import { COMPATIBILITY, SchemaRegistry, SchemaType } from '@kafkajs/confluent-schema-registry';
import type { Schema } from 'avsc';
import type { Logger } from 'pino';
import { incompatibilities } from '../schemas/compatibility.ts';
import { schemas } from '../schemas/types.ts';
import type { RawRecord } from '../stream/batch.ts';
import type { Poison } from '../stream/poison.ts';
import type { Topic } from '../stream/topic.ts';
import { createCodec } from './codec.ts';
import type { Codec } from './codec.ts';
import { openLog } from './log.ts';
import { reasonOf } from './reason.ts';

const ANSWER_MS = 10_000;

/** What the codecs need of a registry. */
export interface SchemaRegistryClient {
  /** The schema with this id as JSON, or undefined when the registry has none. */
  schemaById(id: number): Promise<string | undefined>;
  /** Every version of a subject that was ever registered. */
  versions(subject: string): Promise<readonly RegisteredSchema[]>;
}

/** A registered schema as JSON, with the id that records carry. */
export interface RegisteredSchema {
  readonly id: number;
  readonly schema: string;
}

/** The registry does not answer now. */
export class RegistryUnavailable extends Error {
  override readonly name = 'RegistryUnavailable';
}

/** A schema that the registry refuses. */
export class SchemaRefused extends Error {
  override readonly name = 'SchemaRefused';
}

/**
 * Registers the schemas of `topics` under FULL_TRANSITIVE and returns a codec for each.
 * Readers log to `log` what they leave out; it is standard error when absent.
 * @throws SchemaRefused when a schema can't read, or be read by, every registered version.
 */
export async function openCodecs(
  url: string,
  topics: readonly Topic[],
  log: Pick<Logger, 'warn'> = openLog({ level: 'warn' }),
): Promise<Codecs> {
  const { host, auth } = endpoint(url);
  const registry = new SchemaRegistry({ host, retry: { retries: 3 }, ...(auth && { auth }) });
  const client: SchemaRegistryClient = {
    schemaById: (id) => schemaById(url, id),
    versions: (subject) => versions(url, subject),
  };
  // Known schemas are looked up concurrently; new ones are registered one by one, because two subjects may get the same schema.
  const known = await Promise.all(topics.map((topic) => registeredId(url, topic)));
  const codecs = new Map<string, Codec<unknown>>();
  for (const [i, topic] of topics.entries())
    codecs.set(topic.name, createCodec(topic, known[i] ?? (await register(registry, url, topic)), client));
  await Promise.all([...codecs.values()].map((codec) => codec.prepareAll()));
  return {
    of: <V>(topic: Topic<V>) => {
      const codec = codecs.get(topic.name);
      if (!codec) throw new Error(`No codec was opened for ${topic.name}.`);
      return codec as Codec<V>;
    },
    leftOut: leftOutLog(log),
  };
}

/** The codec of each topic. */
export interface Codecs {
  of<V>(topic: Topic<V>): Codec<V>;
  /** Logs a record that a reader leaves out because its bytes are foreign; only once, however often it is read. */
  leftOut(record: RawRecord, poison: Poison): void;
}

/** How many records of a partition are logged: a foreign program must not fill the log's disk. */
const MAX_LOGGED = 20;

/** `Codecs.leftOut` with this log. */
export function leftOutLog(log: Pick<Logger, 'warn'>): Codecs['leftOut'] {
  /** By partition. A partition is read in order, so a lower offset was met before. */
  const met = new Map<string, { next: number; logged: number }>();
  return ({ topic, partition, offset }, { code, message }) => {
    const place = `${topic}/${String(partition)}`;
    const { next, logged } = met.get(place) ?? { next: 0, logged: 0 };
    if (offset < next || logged > MAX_LOGGED) return;
    met.set(place, { next: offset + 1, logged: logged + 1 });
    if (logged < MAX_LOGGED) log.warn({ code, topic, partition, offset, reason: message }, 'foreign record left out');
    else log.warn({ topic, partition }, 'and more foreign records');
  };
}

/** The id of a topic's schema, if its subject already has it. Sets the subject to FULL_TRANSITIVE. */
async function registeredId(url: string, topic: Topic): Promise<number | undefined> {
  const subject = `${topic.name}-value`;
  const schema = { schema: schemas[topic.schema] };
  const found = await read<{ id: number }>(url, `/subjects/${subject}`, sending('POST', schema));
  await setCompatibility(url, subject, found !== undefined);
  return found?.id;
}

async function register(registry: SchemaRegistry, url: string, topic: Topic): Promise<number> {
  const subject = `${topic.name}-value`;
  try {
    const { id } = await registry.register(
      { type: SchemaType.AVRO, schema: schemas[topic.schema] },
      { subject, compatibility: COMPATIBILITY.FULL_TRANSITIVE },
    );
    return id;
  } catch (cause) {
    if (cause instanceof RegistryUnavailable) throw cause;
    const why = reasonOf(cause);
    if (!/incompatib|409/i.test(why))
      throw new RegistryUnavailable(`The schema registry did not accept ${subject}: ${why}.`, { cause });
    const problems = await problemsWith(url, subject, schemas[topic.schema]);
    throw new SchemaRefused(
      `The registry refuses ${topic.schema} for ${subject}: ${problems.length > 0 ? problems.join(' ') : `${why}.`} ` +
        'Records of the old version are still in the log; add a field with a default instead of changing one.',
      { cause },
    );
  }
}

/** What is wrong between `schema` and the registered versions, field by field: the registry does not always say. */
async function problemsWith(url: string, subject: string, schema: string): Promise<string[]> {
  const parse = (json: string) => JSON.parse(json) as Schema;
  const found = (await versions(url, subject)).flatMap((old) => incompatibilities(parse(old.schema), parse(schema)));
  return [...new Set(found)];
}

/** Unauthorized, forbidden, or (Confluent's read-only mode) not permitted. */
const NOT_ALLOWED: readonly number[] = [401, 403, 422];

/** A process whose schema is `known` may lack the right to set the level; the process that registered the schema has set it. */
async function setCompatibility(url: string, subject: string, known: boolean): Promise<void> {
  const level = sending('PUT', { compatibility: COMPATIBILITY.FULL_TRANSITIVE });
  const response = await request(url, `/config/${subject}`, level);
  if (known && NOT_ALLOWED.includes(response.status)) return response.body?.cancel();
  // A registry that does not know the subject yet may answer 404; `register` then sets the level with the first version. 409 means that
  // another process, which starts at the same moment, has set the same level.
  if (!response.ok && response.status !== 404 && response.status !== 409)
    throw new RegistryUnavailable(
      `The schema registry answered ${String(response.status)} for ${subject}: ${await response.text()}`,
    );
}

async function schemaById(url: string, id: number): Promise<string | undefined> {
  return (await read<{ schema: string }>(url, `/schemas/ids/${String(id)}`))?.schema;
}

/** All versions, deleted ones too: records that were written with them stay in the log. */
async function versions(url: string, subject: string): Promise<readonly RegisteredSchema[]> {
  const numbers = (await read<number[]>(url, `/subjects/${subject}/versions?deleted=true`)) ?? [];
  const found = await Promise.all(
    numbers.map((n) => read<RegisteredSchema>(url, `/subjects/${subject}/versions/${String(n)}?deleted=true`)),
  );
  return found.filter((version) => version !== undefined);
}

async function read<T>(url: string, resource: string, init?: RequestInit): Promise<T | undefined> {
  const response = await request(url, resource, init);
  if (response.status === 404 && (await saysNotFound(response))) return undefined;
  if (!response.ok)
    throw new RegistryUnavailable(`The schema registry answered ${String(response.status)} to ${resource}.`);
  return (await response.json()) as T;
}

/**
 * Whether the registry itself says that there is no such subject (40401), version (40402) or schema (40403). A proxy in front of it
 * answers 404 while the registry is away, and that must not turn good records into dead letters.
 * https://docs.confluent.io/platform/current/schema-registry/develop/api.html
 */
async function saysNotFound(response: Response): Promise<boolean> {
  const body = (await response.json().catch(() => undefined)) as { readonly error_code?: unknown } | null | undefined;
  return [40401, 40402, 40403].some((code) => body?.error_code === code);
}

function sending(method: 'POST' | 'PUT', body: object): RequestInit {
  return { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
}

/**
 * Checks with a small request that the registry answers.
 * @throws RegistryUnavailable when it does not answer in `patienceMs`, or refuses.
 */
export async function askRegistry(url: string, patienceMs: number): Promise<void> {
  const response = await request(url, '/schemas/types', { signal: AbortSignal.timeout(patienceMs) });
  await response.body?.cancel();
  if (response.status >= 500 || response.status === 401 || response.status === 403)
    throw new RegistryUnavailable(`it answered ${String(response.status)}`);
}

async function request(url: string, resource: string, init: RequestInit = {}): Promise<Response> {
  const { host, auth } = endpoint(url);
  const basic = auth && `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}`;
  try {
    return await fetch(`${host}${resource}`, {
      signal: AbortSignal.timeout(ANSWER_MS),
      ...init,
      headers: { ...(init.headers as Record<string, string> | undefined), ...(basic && { authorization: basic }) },
    });
  } catch (cause) {
    throw new RegistryUnavailable(`The schema registry at ${host} does not answer: ${reasonOf(cause)}.`, { cause });
  }
}

/** The address without user name and password, which `fetch` refuses in an address, and these two. */
function endpoint(url: string): { host: string; auth?: { username: string; password: string } } {
  const { username, password, origin, pathname } = new URL(url);
  const host = `${origin}${pathname}`.replace(/\/$/, '');
  if (username === '') return { host };
  return { host, auth: { username: decodeURIComponent(username), password: decodeURIComponent(password) } };
}
