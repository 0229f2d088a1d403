/** Which version goes on trial next, and how the rollout of each version stands, as shown to people. */
import { deploymentOf } from './model-log.ts';
import type { ModelLog, ModelRecord } from './model-log.ts';

/** The version to put on trial next: the newest promotable one without a reason against it. */
export function nextCandidate(log: ModelLog): string | undefined {
  return [...log.models.values()]
    .filter(mayBePromoted)
    .findLast(({ version }) => whyNoTrial(log, version) === undefined)?.version;
}

/**
 * Why a promotable version is not put on trial at present, as a sentence; undefined if it is, and for all other
 * versions. A version goes on trial only beside the version it was compared with. A version that is passed over for
 * that reason becomes eligible again when that version is back in production.
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
    return `It waits: ${canary.version} is on trial. If that version is rolled back, the newest waiting one is next.`;
  return undefined;
}

function mayBePromoted({ standing }: ModelRecord): boolean {
  return standing.status === 'trained' && standing.verdict === 'promote';
}

/** The state of a version's rollout. */
export interface Rollout {
  /** The last verdict noted on a step, with the step; null when there is none. */
  readonly judged: {
    readonly verdict: string;
    readonly reasons: readonly string[];
    readonly against: string;
    readonly traffic_percentage: number;
    /** People's labels on the version's own answers. */
    readonly labels: number;
    /** ISO 8601. */
    readonly at: string;
  } | null;
  /** The sentence of `whyNoTrial`; null when it gives none. */
  readonly no_trial: string | null;
}

/** The state of the rollout of `version`, as shown to people. */
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
