/** What two versions did in a stretch of the canonical log, folded from its events. A function of the events alone. */
import { confidenceBand } from '../policy/audit.ts';
import type { AuditCell } from '../policy/audit.ts';
import { unitHash } from '../policy/hash.ts';
import type { ArmEvidence, Moments } from '../policy/rollout.ts';
import { defaultPolicy, route } from '../policy/routing.ts';
import type { Routing } from '../policy/routing.ts';
import type { ConversationCaptured, ConversationEvent, ReviewSubmitted, Verdict } from '../schemas/types.ts';
import { symbol } from '../stream/projection.ts';

type Cell = Mutable<AuditCell>;

/** What a person has said of a conversation, until the step ends. */
interface Answered {
  readonly cell: Cell;
  readonly verdict: Verdict;
  /** Of the answer that stands. */
  readonly review: string | null;
}

interface Arm extends Mutable<Omit<ArmEvidence, 'cells' | 'latencyMs' | 'confidence'>> {
  readonly cells: Map<string, Cell>;
  readonly latencyMs: Mutable<Moments>;
  readonly confidence: Mutable<Moments>;
}

/** Conversations of a version that people are asked about, until the step ends. */
interface Followed {
  /** By id: the answer, and until there is one the cell alone, because most are never answered. */
  readonly asked: Map<string, Cell | Answered>;
  /** Only those whose hash is below this are followed to their answer: 1, until there are too many. */
  share: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** So many conversations of a version are followed to their answer, at some 100 bytes each. Where one in a thousand is answered, enough. */
const MAX_FOLLOWED = 1_000_000;

/**
 * Evidence in the making: sums, and entries for conversations that a person is asked about, up to `maxFollowed` a version.
 * Where there are more, one in two is followed, then one in four: a hash chooses, so whatever the order of the events the
 * same ones are left, and the others count as not answered yet, which shifts no estimate.
 */
export class RolloutEvidence {
  readonly #arms: ReadonlyMap<string, Arm>;
  readonly #followed: ReadonlyMap<string, Followed>;
  readonly #maxFollowed: number;

  constructor(versions: readonly string[], maxFollowed = MAX_FOLLOWED) {
    this.#arms = new Map(versions.map((version) => [version, emptyArm()]));
    this.#followed = new Map(
      versions.map((version) => [version, { asked: new Map<string, Cell | Answered>(), share: 1 }]),
    );
    this.#maxFollowed = maxFollowed;
  }

  /** Takes the next event. A later answer of a person takes the place of an earlier one, and one that is withdrawn counts no more. */
  add({ conversation_id, captured, reviewed, policy }: ConversationEvent): void {
    const version = captured?.model_version ?? '';
    const [arm, followed] = [this.#arms.get(version), this.#followed.get(version)];
    if (captured && arm && followed) {
      count(arm, captured);
      if (captured.nlu_provider === 'llm') return; // whether that answer is right says nothing of the version
      const routing = route(policy ?? defaultPolicy, captured);
      const cell = cellOf(arm, routing, captured.nlu_confidence);
      cell.conversations++;
      if (routing.route !== 'auto_approved' || routing.audit) {
        cell.chosen++;
        follow(followed, conversation_id, cell, this.#maxFollowed);
      }
    }
    if (!reviewed) return;
    for (const { asked } of this.#followed.values()) {
      const known = asked.get(conversation_id);
      if (known) asked.set(conversation_id, answered(known, reviewed));
    }
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
function cellOf({ cells }: Arm, routing: Routing, confidence: number | null): Cell {
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

function follow(followed: Followed, id: string, cell: Cell, most: number): void {
  const isFollowed = (one: string) => unitHash(`evidence/${one}`) < followed.share;
  if (!isFollowed(id)) return;
  followed.asked.set(id, cell);
  while (followed.asked.size > most) {
    followed.share /= 2;
    for (const [one, asked] of followed.asked) {
      if (isFollowed(one)) continue;
      if ('verdict' in asked) countVerdict(asked, -1);
      followed.asked.delete(one);
    }
  }
}

/** What stands after a review. */
function answered(asked: Cell | Answered, { verdict, review_id, withdraws }: ReviewSubmitted): Cell | Answered {
  const before = 'verdict' in asked ? asked : undefined;
  const cell = before?.cell ?? (asked as Cell);
  if (verdict === 'skip' && (withdraws === null || withdraws !== before?.review)) return asked;
  if (before) countVerdict(before, -1);
  if (verdict === 'skip') return cell;
  const after = { cell, verdict, review: review_id };
  countVerdict(after, 1);
  return after;
}

function countVerdict({ cell, verdict }: Answered, by: 1 | -1): void {
  if (verdict === 'approve') cell.right += by;
  else if (verdict === 'correct') cell.wrong += by;
  else if (verdict === 'reject') cell.unusable += by;
}
