/** A routing policy as people write it: a JSON file, or a request's body. */
import { z } from 'zod';
import { MAX_EXCEPTIONS, ruleProblems } from '../policy/adoption.ts';
import { withCanonicalTags } from '../policy/language.ts';
import { defaultPolicy } from '../policy/routing.ts';
import type { RoutingPolicy } from '../schemas/types.ts';
import { atMost, InputError, notA, orNull, parse, text } from './inputs.ts';

const share = z.number({ error: notA('a number from 0 to 1') }).meta({ minimum: 0, maximum: 1 });
const thresholds = z
  .strictObject({ trust: share, doubt: share }, { error: notA('an object with trust and doubt') })
  .describe('Above trust an answer is a label; below doubt a person must see it first; between them, a person may.');
const exception = z.strictObject(
  { module: orNull(text), intent: orNull(text), language: orNull(text), thresholds },
  { error: notA('an object with thresholds and at least one of module, intent and language') },
);

const policyShape = z.strictObject(
  {
    version: text.describe('A new name for each policy, for example routing-v2.'),
    thresholds,
    exceptions: atMost(MAX_EXCEPTIONS, z.array(exception, { error: notA('an array of exceptions') }))
      .default([])
      .describe(
        'Other thresholds for a module, an intent, a language, or several of these; the first that matches wins.',
      ),
    audit_share: share.describe('Share of auto-approved conversations that a person checks anyway, 0 to 1.'),
    audit_salt: text
      .default(defaultPolicy.audit_salt)
      .describe('Another salt audits other conversations; keep the salt to keep the selection.'),
    overlap_share: share
      .default(defaultPolicy.overlap_share)
      .describe('Share of the reviewed conversations that two people answer, to measure how far they agree, 0 to 1.'),
  },
  { error: notA('a JSON object') },
);

/** The JSON Schema of a policy file. */
export const policyJsonSchema: object = z.toJSONSchema(policyShape, { io: 'input' });

/** A policy from JSON, its language tags in canonical case. @throws InputError with all that is wrong. */
export function parsePolicy(json: unknown): RoutingPolicy {
  const policy = parse('policy', policyShape, json);
  const problems = ruleProblems(policy);
  if (problems.length > 0) throw new InputError(problems);
  return withCanonicalTags(policy);
}
