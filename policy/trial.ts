/** Which version goes on trial next, and how the rollout of each one stands: what people are shown of the model log. */
import { deploymentOf } from './model-log.ts';
import type { ModelLog, ModelRecord } from './model-log.ts';

/** The version that may go on trial: the newest that may be promoted and that nothing keeps from it. */
export function nextCandidate(log: ModelLog): string | undefined {
  return [...log.models.values()]
    .filter(mayBePromoted)
    .findLast(({ version }) => whyNoTrial(log, version) === undefined)?.version;
}

/**
 * Why a version that may be promoted is not put on trial as things stand, in a sentence; undefined where it is, and for every other
 * version. Only what was compared with production goes there: nobody knows how it does beside another. What is passed over so can
 * come again, when its measure is in production again.
 */
export function whyNoTrial(log: ModelLog, version: string): string | undefined {
  const record = log.models.get(version);
  if (!record || !mayBePromoted(record)) return undefined;
  const { passedOver, standing } = record;
  const { production, canary } = deploymentOf(log);
  const now = log.models.get(production)?.standing;
  if (passedOver) return 'It is passed over: a person has rolled a version back since it was made.';
  if (standing.compared_with !== (now?.artifact_sha256 == null ? null : production))
    return `It is passed over: it was compared with ${standing.compared_with ?? 'nothing'}, and ${production} is in production now.`;
  if (standing.created_at <= (now?.created_at ?? 0))
    return `It is passed over: it is no newer than ${production}, which is in production.`;
  if (canary)
    return `It waits: ${canary.version} is on trial. Where its rollout takes that back, the newest that waits is next.`;
  return undefined;
}

function mayBePromoted({ standing }: ModelRecord): boolean {
  return standing.status === 'trained' && standing.verdict === 'promote';
}

/** How the rollout of a version stands. */
export interface Rollout {
  /** The last verdict that was noted on a step of it, with the step; null where there is none. */
  readonly judged: {
    readonly verdict: string;
    readonly reasons: readonly string[];
    readonly against: string;
    readonly traffic_percentage: number;
    /** People's labels on its own answers. */
    readonly labels: number;
    /** ISO 8601. */
    readonly at: string;
  } | null;
  /** See `whyNoTrial`; null where that says nothing. */
  readonly no_trial: string | null;
}

/** How the rollout of `version` stands, as people are shown it. */
export function rolloutOf(log: ModelLog, version: string): Rollout {
  const judged = log.models.get(version)?.judged;
  return {
    judged: judged
      ? {
          verdict: judged.verdict,
          reasons: judged.reasons,
          against: judged.against,
          traffic_percentage: judged.traffic_percentage,
          labels: judged.labels,
          at: new Date(judged.at).toISOString(),
        }
      : null,
    no_trial: whyNoTrial(log, version) ?? null,
  };
}
