/** What two versions did in a stretch of the canonical log, folded from its events. A function of the events alone. */
import { confidenceBand } from '../policy/audit.ts';
import type { AuditCell } from '../policy/audit.ts';
import type { ArmEvidence, Moments } from '../policy/rollout.ts';
import { defaultPolicy, route } from '../policy/routing.ts';
import type { Routing } from '../policy/routing.ts';
import type { ConversationCaptured, ConversationEvent, Verdict } from '../schemas/types.ts';
import { symbol } from '../stream/projection.ts';

/** A conversation that a person is asked about, until the step ends. */
interface Asked {
  readonly cell: Mutable<AuditCell>;
  verdict: Verdict | null;
  /** Of the answer that stands. */
  review: string | null;
}

interface Arm extends Mutable<Omit<ArmEvidence, 'cells' | 'latencyMs' | 'confidence'>> {
  readonly cells: Map<string, Mutable<AuditCell>>;
  readonly latencyMs: Mutable<Moments>;
  readonly confidence: Mutable<Moments>;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Evidence in the making: sums, and one entry for each conversation that a person is asked about. */
export class RolloutEvidence {
  readonly #arms: ReadonlyMap<string, Arm>;
  readonly #asked = new Map<string, Asked>();

  constructor(versions: Iterable<string>) {
    this.#arms = new Map([...versions].map((version) => [version, emptyArm()]));
  }

  /** Takes the next event. A later answer of a person takes the place of an earlier one, and one that is withdrawn counts no more. */
  add({ conversation_id, captured, reviewed, policy }: ConversationEvent): void {
    const arm = this.#arms.get(captured?.model_version ?? '');
    if (captured && arm) {
      count(arm, captured);
      if (captured.nlu_provider === 'llm') return; // whether that answer is right says nothing of the version
      const routing = route(policy ?? defaultPolicy, captured);
      const cell = cellOf(arm, routing, captured.nlu_confidence);
      cell.conversations++;
      if (routing.route !== 'auto_approved' || routing.audit) {
        cell.chosen++;
        this.#asked.set(conversation_id, { cell, verdict: null, review: null });
      }
    }
    const asked = reviewed && this.#asked.get(conversation_id);
    if (!asked) return;
    const { verdict, review_id, withdraws } = reviewed;
    if (verdict !== 'skip') answer(asked, verdict, review_id);
    else if (withdraws !== null && withdraws === asked.review) answer(asked, null, null);
  }

  /** What `version` did so far. */
  of(version: string): ArmEvidence {
    const arm = this.#arms.get(version) ?? emptyArm();
    return { ...arm, cells: [...arm.cells.values()] };
  }
}

function emptyArm(): Arm {
  const nothing = (): Moments => ({ n: 0, sum: 0, squares: 0 });
  const counts = { conversations: 0, responses: 0, failures: 0, fallbacks: 0 };
  return { ...counts, cells: new Map(), latencyMs: nothing(), confidence: nothing() };
}

function count(arm: Arm, captured: ConversationCaptured): void {
  arm.conversations++;
  if (captured.response_success !== null) arm.responses++;
  if (captured.response_success === false) arm.failures++;
  if (captured.nlu_provider === 'llm') {
    // Its time and confidence are not the version's: how often it is asked is judged by itself.
    arm.fallbacks++;
    return;
  }
  addTo(arm.confidence, captured.nlu_confidence);
  addTo(arm.latencyMs, captured.processing_time_ms);
}

function addTo(moments: Mutable<Moments>, value: number | null): void {
  if (value === null || Number.isNaN(value)) return;
  moments.n++;
  moments.sum += value;
  moments.squares += value * value;
}

/** The cell of a conversation, made where it is the first of its kind. */
function cellOf({ cells }: Arm, routing: Routing, confidence: number | null): Mutable<AuditCell> {
  const taken = symbol(routing.route) as AuditCell['route'];
  const [propensity, band] = [routing.audit_propensity ?? 1, confidenceBand(confidence)];
  const key = `${taken}/${propensity}/${band}`;
  const found = cells.get(key);
  if (found) return found;
  const none = { conversations: 0, chosen: 0, right: 0, wrong: 0, unusable: 0 };
  const cell = { route: taken, propensity, band, ...none };
  cells.set(key, cell);
  return cell;
}

function answer(asked: Asked, verdict: Verdict | null, review: string | null): void {
  countVerdict(asked, -1);
  Object.assign(asked, { verdict, review });
  countVerdict(asked, 1);
}

function countVerdict({ cell, verdict }: Asked, by: 1 | -1): void {
  if (verdict === 'approve') cell.right += by;
  else if (verdict === 'correct') cell.wrong += by;
  else if (verdict === 'reject') cell.unusable += by;
}
