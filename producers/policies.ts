/** Sends a routing policy to every partition of the log, to all or to none. */
import type { KafkaConfig } from '../config.ts';
import { policyProblems } from '../policy/adoption.ts';
import type { PolicyAdopted } from '../schemas/types.ts';
import { fencedWrite } from '../runtime/fenced-write.ts';
import type { Codecs } from '../runtime/schema-registry.ts';
import { partitionOf } from '../stream/partition.ts';
import { PARTITIONS, topics } from '../topology.ts';
import { InputError } from './inputs.ts';

/** Transactional id that gives adoptions one order: of two processes that adopt at the same time, the later one fences the earlier. */
export const ADOPTION_ID = 'samvad-policies';

/** What is to be adopted, and by whom. */
export type Adoption = Omit<PolicyAdopted, 'key' | 'adopted_at'>;

/**
 * One key for each partition, in partition order, which the partitioner sends to that partition. So a copy that is sent by
 * other means, such as the replay of a dead letter, reaches the same partition.
 */
export function policyKeys(partitions: number): readonly string[] {
  const keys = new Map<number, string>();
  for (let n = 0; keys.size < partitions; n++) {
    const key = `policy/${String(n)}`;
    const partition = partitionOf(key, partitions);
    if (!keys.has(partition)) keys.set(partition, key);
  }
  return [...keys].sort(([a], [b]) => a - b).map(([, key]) => key);
}

/**
 * Sends the policy. In each partition, `intake` then applies it to the conversations that follow it.
 * @throws InputError naming the field, when intake would refuse it for its content.
 */
export async function sendPolicy(kafka: KafkaConfig, codecs: Codecs, adoption: Adoption): Promise<PolicyAdopted> {
  const now = Date.now();
  const copies = policyKeys(PARTITIONS).map((key) => ({ ...adoption, key, adopted_at: now }));
  const [sent] = copies as [PolicyAdopted, ...PolicyAdopted[]];
  const problems = policyProblems(sent, now);
  if (problems.length > 0) throw new InputError(problems);
  const codec = codecs.of(topics.policies);
  await fencedWrite(kafka, ADOPTION_ID, () =>
    Promise.resolve(
      copies.map((copy, partition) => ({
        ...{ topic: topics.policies.name, partition, key: copy.key, value: codec.encode(copy), timestamp: now },
      })),
    ),
  );
  return sent;
}
