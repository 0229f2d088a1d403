/** The history of routing policies, the one in force, and the adoption of another. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { Servers } from '../config.ts';
import { policyProblems, rulesDigest } from '../policy/adoption.ts';
import { defaultPolicy } from '../policy/routing.ts';
import { InputError } from '../producers/inputs.ts';
import { sendPolicy } from '../producers/policies.ts';
import type { Adoption } from '../producers/policies.ts';
import type { Codecs } from '../runtime/schema-registry.ts';
import type { RoutingPolicy } from '../schemas/types.ts';

/** A policy that came into force. The built-in one has no adopter. */
export interface AdoptedPolicy {
  readonly policy: RoutingPolicy;
  readonly adopted_by: string | null;
  readonly reason: string;
  /** RFC 3339; null for the built-in policy. */
  readonly adopted_at: string | null;
}

const BUILT_IN: AdoptedPolicy = {
  policy: defaultPolicy,
  adopted_by: null,
  reason: 'Built in; holds until another policy is adopted.',
  adopted_at: null,
};

/** How long `adoptPolicy` waits until intake has processed the policy. */
const TAKEN_MS = 15_000;
const POLL_MS = 100;

/** Every policy that came into force, oldest first, in the order that routing uses; the last one is in force. */
export async function policyHistory(pool: Pick<Pool, 'query'>): Promise<readonly AdoptedPolicy[]> {
  // json, because jsonb would sort the fields.
  const { rows } = await pool.query<Omit<AdoptedPolicy, 'adopted_at'> & { readonly adopted_at: Date }>(
    `SELECT json_build_object('version', version, 'thresholds', json_build_object('trust', trust, 'doubt', doubt),
                              'exceptions', exceptions, 'audit_share', audit_share, 'audit_salt', audit_salt,
                              'overlap_share', overlap_share) AS policy,
            adopted_by, reason, adopted_at FROM policies ORDER BY log_offset`,
  );
  return [BUILT_IN, ...rows.map((row) => ({ ...row, adopted_at: row.adopted_at.toISOString() }))];
}

/** The policy in force: it routes conversations that arrive now. */
export async function policyInForce(pool: Pick<Pool, 'query'>): Promise<AdoptedPolicy> {
  return (await policyHistory(pool)).at(-1) ?? BUILT_IN;
}

/** The result of an adoption. */
export type AdoptionOutcome =
  /** It is in force and routes conversations from now on. */
  | 'in force'
  /** This version, with the same rules, is or was already in force; nothing changed. */
  | 'known'
  /** It is in the log, but intake or the projection `policies` has not processed it yet. */
  | 'sent';

/** What an adoption needs. */
export interface PolicyDeps {
  readonly servers: Pick<Servers, 'kafka'>;
  readonly codecs: Codecs;
  readonly pool: Pick<Pool, 'query'>;
}

/**
 * Checks an adoption without sending anything: whether the policy is new or known. @throws InputError when
 * `adoptPolicy` would refuse it.
 */
export async function checkAdoption(pool: Pick<Pool, 'query'>, adoption: Adoption): Promise<'new' | 'known'> {
  const { policy } = adoption;
  const now = Date.now();
  const problems = policyProblems({ ...adoption, key: '', adopted_at: now }, now);
  if (problems.length > 0) throw new InputError(problems);
  const used = (await policyHistory(pool)).find((known) => known.policy.version === policy.version);
  if (!used) return 'new';
  if (rulesDigest(used.policy) === rulesDigest(policy)) return 'known';
  throw new InputError([
    {
      field: 'version',
      message: `${policy.version} was adopted before with other rules; give this policy a new name.`,
    },
  ]);
}

/**
 * Adopts a policy: sends it to every partition and waits until it is in force.
 * @throws InputError naming the invalid field, such as a version that is known with other rules. @throws Transient when
 * Kafka does not answer.
 */
export async function adoptPolicy(deps: PolicyDeps, adoption: Adoption): Promise<AdoptionOutcome> {
  if ((await checkAdoption(deps.pool, adoption)) === 'known') return 'known';
  await sendPolicy(deps.servers.kafka, deps.codecs, adoption);
  for (const deadline = Date.now() + TAKEN_MS; Date.now() < deadline; await sleep(POLL_MS)) {
    // Another process may have sent other rules under this version at the same time; intake takes the first.
    if ((await checkAdoption(deps.pool, adoption)) === 'known') return 'in force';
  }
  return 'sent';
}
