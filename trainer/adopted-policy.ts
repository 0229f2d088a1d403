/** Reads the routing policy in force from the log, so that training needs no Postgres. */
import type { KafkaConfig } from '../config.ts';
import { defaultPolicy } from '../policy/routing.ts';
import type { RoutingPolicy } from '../policy/routing.ts';
import { readRecords } from '../runtime/read-topic.ts';
import type { Codecs } from '../runtime/schema-registry.ts';
import { topics } from '../topology.ts';

/** The last adopted policy, or the built-in one. Intake writes adoptions in one order to a single partition. */
export async function readPolicyInForce(kafka: KafkaConfig, codecs: Codecs): Promise<RoutingPolicy> {
  let inForce: RoutingPolicy = defaultPolicy;
  for await (const { value } of readRecords({ kafka, codecs }, topics.adoptedPolicies))
    if (value) inForce = value.policy;
  return inForce;
}
