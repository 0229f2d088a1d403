/** Which topic takes which kind of record. */
import type { Codecs } from '../runtime/schema-registry.ts';
import { topics } from '../topology.ts';
import type { EventKind, ProducedEvent } from './inputs.ts';

const BY_KIND = {
  conversation: topics.conversations,
  review: topics.reviews,
  erasure: topics.erasures,
} as const satisfies Record<EventKind, unknown>;

/** The topics that producers write. */
export const inputTopics = Object.values(BY_KIND);

/** The kind of record that the topic named `topic` takes; undefined where producers do not write it. */
export function kindOf(topic: string): EventKind | undefined {
  return (Object.keys(BY_KIND) as EventKind[]).find((kind) => BY_KIND[kind].name === topic);
}

/** The topic that takes records of this kind. */
export function topicOf(kind: EventKind): (typeof inputTopics)[number] {
  return BY_KIND[kind];
}

/** A record as it is written. */
export function encodeInput(codecs: Codecs, event: ProducedEvent): { readonly topic: string; readonly value: Buffer } {
  const topic = topicOf(event.kind);
  return { topic: topic.name, value: codecs.of<unknown>(topic).encode(event.record) };
}
