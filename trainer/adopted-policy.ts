/** Reads the routing policy in force from the log, so that training needs no Postgres. */
import type { KafkaConfig } from '../config.ts';
import { withCanonicalTags } from '../policy/language.ts';
import { defaultPolicy } from '../policy/routing.ts';
import type { RoutingPolicy } from '../policy/routing.ts';
import { readTopic } from '../runtime/read-topic.ts';
import type { Codecs } from '../runtime/schema-registry.ts';
import { topics } from '../topology.ts';

/** The last adopted policy, or the built-in one. Intake writes adoptions in one order to a single partition. */
export async function readPolicyInForce(kafka: KafkaConfig, codecs: Codecs): Promise<RoutingPolicy> {
  const codec = codecs.of(topics.adoptedPolicies);
  await codec.prepareAll();
  let inForce: RoutingPolicy = defaultPolicy;
  for await (const { value } of readTopic(kafka, topics.adoptedPolicies.name))
    if (value !== null) inForce = withCanonicalTags(codec.decode(value).policy);
  return inForce;
}
