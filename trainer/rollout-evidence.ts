/** What two versions did in a stretch of the canonical log, folded from its events. A function of the events alone. */
import { confidenceBand } from '../policy/audit.ts';
import type { AuditCell } from '../policy/audit.ts';
import type { ArmEvidence, Moments } from '../policy/rollout.ts';
import { defaultPolicy, route } from '../policy/routing.ts';
import type { ConversationEvent, Verdict } from '../schemas/types.ts';

/** A conversation of one of the versions, as far as the verdict needs it. */
interface Seen {
  readonly version: string;
  readonly route: AuditCell['route'];
  readonly propensity: number;
  readonly band: number;
  readonly chosen: boolean;
  readonly confidence: number | null;
  readonly latencyMs: number | null;
  readonly success: boolean | null;
  readonly fallback: boolean;
  verdict: Verdict | null;
}

/** Evidence in the making: one entry for each conversation of the versions that it is about. */
export class RolloutEvidence {
  readonly #versions: ReadonlySet<string>;
  readonly #seen = new Map<string, Seen>();

  constructor(versions: Iterable<string>) {
    this.#versions = new Set(versions);
  }

  /** Takes the next event. A later answer of a person takes the place of an earlier one. */
  add({ conversation_id, captured, reviewed, policy }: ConversationEvent): void {
    if (captured?.model_version != null && this.#versions.has(captured.model_version)) {
      const routing = route(policy ?? defaultPolicy, captured);
      this.#seen.set(conversation_id, {
        version: captured.model_version,
        route:
          routing.route === 'auto_approved'
            ? 'auto-approved'
            : routing.route === 'needs_review'
              ? 'needs-review'
              : 'priority-review',
        propensity: routing.audit_propensity ?? 1,
        band: confidenceBand(captured.nlu_confidence),
        chosen: routing.route !== 'auto_approved' || routing.audit,
        confidence: captured.nlu_confidence,
        latencyMs: captured.processing_time_ms,
        success: captured.response_success,
        fallback: captured.nlu_provider === 'llm',
        verdict: null,
      });
    }
    const seen = reviewed && this.#seen.get(conversation_id);
    if (seen && reviewed.verdict !== 'skip') seen.verdict = reviewed.verdict;
  }

  /** What `version` did so far. */
  of(version: string): ArmEvidence {
    const own = [...this.#seen.values()].filter((seen) => seen.version === version);
    const known = own.filter(({ success }) => success !== null);
    return {
      conversations: own.length,
      cells: cellsOf(own),
      responses: known.length,
      failures: known.filter(({ success }) => success === false).length,
      fallbacks: own.filter(({ fallback }) => fallback).length,
      latencyMs: moments(own.map(({ latencyMs }) => latencyMs)),
      confidence: moments(own.map(({ confidence }) => confidence)),
    };
  }
}

function cellsOf(seen: readonly Seen[]): readonly AuditCell[] {
  const cells = new Map<string, { -readonly [K in keyof AuditCell]: AuditCell[K] }>();
  for (const { route: taken, propensity, band, chosen, verdict } of seen) {
    const key = `${taken}/${propensity}/${band}`;
    const cell = cells.get(key) ?? {
      route: taken,
      propensity,
      band,
      conversations: 0,
      chosen: 0,
      right: 0,
      wrong: 0,
      unusable: 0,
    };
    cells.set(key, cell);
    cell.conversations++;
    if (!chosen) continue;
    cell.chosen++;
    if (verdict === 'approve') cell.right++;
    else if (verdict === 'correct') cell.wrong++;
    else if (verdict === 'reject') cell.unusable++;
  }
  return [...cells.values()];
}

function moments(values: readonly (number | null)[]): Moments {
  let [n, sum, squares] = [0, 0, 0];
  for (const value of values) {
    if (value === null || Number.isNaN(value)) continue;
    n++;
    sum += value;
    squares += value * value;
  }
  return { n, sum, squares };
}
