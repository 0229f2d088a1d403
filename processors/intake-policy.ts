/** How intake adopts a policy and remembers which one is in force: in entries of its ledger, in each partition. */
import { rulesDigest, policyProblems } from '../policy/adoption.ts';
import { withCanonicalTags } from '../policy/language.ts';
import { defaultPolicy } from '../policy/routing.ts';
import type { RoutingPolicy } from '../policy/routing.ts';
import type { IntakeEntry, PolicyAdopted } from '../schemas/types.ts';
import { Poison } from '../stream/poison.ts';
import type { Emission, LogRecord, Table } from '../stream/processor.ts';
import { emit } from '../stream/processor.ts';
import { topics } from '../topology.ts';
import { refuse } from './refuse.ts';

/** Keys of the ledger that no conversation can have, because an id holds no control character. */
const IN_FORCE = '\tpolicy';
const keyOfVersion = (version: string) => `${IN_FORCE}\t${version}`;
/** The partition whose copy is written to `adopted-policies`, so that each version is there once. */
const WITNESS = 0;
/** The entry of an id that intake has not seen. */
export const UNSEEN: IntakeEntry = {
  captured_digest: null,
  review_digests: [],
  parked_reviews: [],
  policy: null,
  erased_at: null,
};

/** The policy by which conversations of this partition are routed now; null is the built-in one. */
export function policyInForce(ledger: Table<IntakeEntry>): RoutingPolicy | null {
  return ledger.get(IN_FORCE)?.policy ?? null;
}

/**
 * Adopts a policy, with its language tags in canonical case, like those of conversations. A version that is or was in
 * force changes nothing: to go back, adopt its rules under a new name.
 */
export function adoptPolicy(
  { value, partition, timestamp }: LogRecord<PolicyAdopted>,
  ledger: Table<IntakeEntry>,
): readonly Emission[] {
  refuse(policyProblems(value, timestamp));
  const policy = withCanonicalTags(value.policy);
  const digest = rulesDigest(policy);
  const builtIn = policy.version === defaultPolicy.version ? rulesDigest(defaultPolicy) : null;
  const used = ledger.get(keyOfVersion(policy.version))?.captured_digest ?? builtIn;
  if (used === digest) return [];
  if (used !== null)
    throw new Poison('policy-version-used', `version: ${policy.version} was adopted before with other rules.`);
  const at = value.adopted_at;
  return [
    emit(topics.intakeLedger, IN_FORCE, { ...UNSEEN, policy }, at),
    emit(topics.intakeLedger, keyOfVersion(policy.version), { ...UNSEEN, captured_digest: digest }, at),
    ...(partition === WITNESS ? [emit(topics.adoptedPolicies, policy.version, { ...value, policy }, at)] : []),
  ];
}
