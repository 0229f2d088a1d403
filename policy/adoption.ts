/** Checks whether a routing policy may be adopted. The command line, HTTP and intake apply the same rules. */
import type { PolicyAdopted, PolicyException, RoutingPolicy, Thresholds } from '../schemas/types.ts';
import { textHash } from './hash.ts';
import { withCanonicalTags } from './language.ts';
import { idProblems, languageProblems, nameProblems, reasonProblems, timeProblems, unless } from './validation.ts';
import type { Problem } from './validation.ts';

/** Every captured event carries its policy, so a policy must stay small. */
export const MAX_EXCEPTIONS = 50;

/** The problems of an adoption; empty when it is valid. `arrivedAtMs` is when the log received it. */
export function policyProblems(adopted: PolicyAdopted, arrivedAtMs: number): readonly Problem[] {
  return [
    ...ruleProblems(adopted.policy),
    ...idProblems('adopted_by', adopted.adopted_by),
    ...reasonProblems(adopted.reason),
    ...timeProblems('adopted_at', adopted.adopted_at, arrivedAtMs),
  ];
}

/** The problems of the policy itself. */
export function ruleProblems(policy: RoutingPolicy): readonly Problem[] {
  const { exceptions, audit_share } = policy;
  return [
    ...nameProblems('version', policy.version),
    ...thresholdProblems('thresholds', policy.thresholds),
    ...unless(
      exceptions.length <= MAX_EXCEPTIONS,
      'exceptions',
      () => `There are ${String(exceptions.length)}; at most ${String(MAX_EXCEPTIONS)} are allowed.`,
    ),
    ...exceptions.flatMap((exception, i) => exceptionProblems(`exceptions[${String(i)}]`, exception)),
    ...shareProblems('audit_share', audit_share),
    ...nameProblems('audit_salt', policy.audit_salt),
    ...shareProblems('overlap_share', policy.overlap_share),
  ];
}

/**
 * A digest of the routing rules without the version: equal for two policies that route every conversation alike and
 * send the same ones to people. An overlap share of 0 is left out, so digests of policies older than that field do not
 * change.
 */
export function rulesDigest(policy: RoutingPolicy): string {
  const { thresholds, exceptions, audit_share, audit_salt, overlap_share } = withCanonicalTags(policy);
  const limits = ({ trust, doubt }: Thresholds) => [trust, doubt];
  const rules = exceptions.map(({ module, intent, language, ...rest }) => [
    module,
    intent,
    language,
    limits(rest.thresholds),
  ]);
  const overlap = overlap_share > 0 ? [overlap_share] : [];
  return textHash(JSON.stringify([limits(thresholds), rules, audit_share, audit_salt, ...overlap]));
}

function thresholdProblems(field: string, { trust, doubt }: Thresholds): readonly Problem[] {
  return [
    ...shareProblems(`${field}.trust`, trust),
    ...shareProblems(`${field}.doubt`, doubt),
    ...unless(!(doubt > trust), `${field}.doubt`, () => `${String(doubt)} is above trust, which is ${String(trust)}.`),
  ];
}

function exceptionProblems(field: string, exception: PolicyException): readonly Problem[] {
  const { module, intent, language } = exception;
  return [
    ...unless(
      module !== null || intent !== null || language !== null,
      field,
      () => 'It names no module, intent or language, so it would apply to everything.',
    ),
    ...(module === null ? [] : nameProblems(`${field}.module`, module)),
    ...(intent === null ? [] : nameProblems(`${field}.intent`, intent)),
    ...(language === null ? [] : languageProblems(`${field}.language`, language)),
    ...thresholdProblems(`${field}.thresholds`, exception.thresholds),
  ];
}

function shareProblems(field: string, share: number): readonly Problem[] {
  return unless(share >= 0 && share <= 1, field, () => `${String(share)} is not between 0 and 1.`);
}
