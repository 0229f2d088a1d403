/** Folds events of the canonical log into the evidence on two versions. Pure: depends on the events alone. */
import { confidenceBand } from '../../policy/audit.ts';
import type { AuditCell } from '../../policy/audit.ts';
import { unitHash } from '../../policy/hash.ts';
import { normalise } from '../../policy/review-priority.ts';
import type { ArmEvidence, Moments } from '../../policy/rollout.ts';
import { defaultPolicy, route } from '../../policy/routing.ts';
import type { Routing } from '../../policy/routing.ts';
import { countingAnswer, judgement, noAnswers, withReview } from '../../policy/standing.ts';
import type { Answers } from '../../policy/standing.ts';
import type { ConversationCaptured, ConversationEvent, ReviewSubmitted } from '../../schemas/types.ts';
import { symbol } from '../../stream/projection.ts';
import { labelName } from '../learning/classifier.ts';

/** The conversations with one kind of prediction. */
interface Cell extends Mutable<AuditCell> {
  readonly label: Pick<ConversationCaptured, 'nlu_intent' | 'nlu_module'>;
  /** Sizes of the groups that answers belong to. */
  readonly groups: Map<string, number>;
}

/** A conversation that a person is asked about; kept until the step ends. */
interface Asked {
  readonly cell: Cell;
  /** Hash of its text; null for an audit, which forms its own group. */
  readonly text: number | null;
  /** Its answers so far; most conversations never get any. */
  readonly said?: Answers<Said>;
}

/** The fields of an answer that are kept. */
type Said = Pick<
  ReviewSubmitted,
  'verdict' | 'corrected_intent' | 'corrected_module' | 'review_id' | 'withdraws' | 'reviewed_at'
>;

interface Arm extends Mutable<Omit<ArmEvidence, 'cells' | 'latencyMs' | 'confidence'>> {
  readonly cells: Map<string, Cell>;
  readonly latencyMs: Mutable<Moments>;
  readonly confidence: Mutable<Moments>;
}

/** The conversations of a version that people are asked about; kept until the step ends. */
interface Followed {
  /** By id. */
  readonly asked: Map<string, Asked>;
  /**
   * Only conversations whose hash is below this share are followed. It starts at 1 and shrinks when there are too many.
   */
  share: number;
}

const DAY_MS = 86_400_000;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * The most conversations per version that are followed to their answer, at about 150 bytes each. Enough even if only
 * one in a thousand is answered.
 */
const MAX_FOLLOWED = 1_000_000;

/**
 * Accumulates evidence: sums, and an entry for each conversation that a person is asked about, up to `maxFollowed` per
 * version. Beyond that, one in two is followed, then one in four. A hash chooses them, so the selection does not depend
 * on the order of events; the others count as unanswered, which does not bias the estimates.
 */
export class RolloutEvidence {
  readonly #versions: ReadonlyMap<string, { readonly arm: Arm; readonly followed: Followed }>;
  readonly #maxFollowed: number;

  constructor(versions: readonly string[], maxFollowed = MAX_FOLLOWED) {
    const empty = () => ({ arm: emptyArm(), followed: { asked: new Map<string, Asked>(), share: 1 } });
    this.#versions = new Map(versions.map((version) => [version, empty()]));
    this.#maxFollowed = maxFollowed;
  }

  /** Adds the next event. The answer in force counts, as everywhere (policy/standing.ts). */
  add({ conversation_id, captured, reviewed, policy }: ConversationEvent): void {
    const version = this.#versions.get(captured?.model_version ?? '');
    if (captured && version) {
      const { arm, followed } = version;
      count(arm, captured);
      if (captured.nlu_provider === 'llm') return; // the correctness of the LLM's answer says nothing about the version
      const routing = route(policy ?? defaultPolicy, captured);
      const cell = cellOf(arm, routing, captured);
      cell.conversations++;
      if (routing.route !== 'auto_approved' || routing.audit) {
        cell.chosen++;
        const text = routing.audit ? null : unitHash(normalise(captured.user_message));
        follow(followed, conversation_id, { cell, text }, this.#maxFollowed);
      }
    }
    if (!reviewed) return;
    for (const { followed } of this.#versions.values()) {
      const { asked } = followed;
      const known = asked.get(conversation_id);
      if (known) asked.set(conversation_id, answered(known, reviewed));
    }
  }

  /** The evidence on `version` so far. */
  of(version: string): ArmEvidence {
    const { arm } = this.#versions.get(version) ?? { arm: emptyArm() };
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
    // Latency and confidence are the LLM's, not the version's; fallbacks are counted and judged on their own.
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

/** The cell of a conversation, created at the first of its kind. */
function cellOf(
  { cells }: Arm,
  routing: Routing,
  { nlu_intent, nlu_module, nlu_confidence }: ConversationCaptured,
): Cell {
  const taken = symbol(routing.route) as AuditCell['route'];
  const [propensity, band] = [routing.audit_propensity ?? 1, confidenceBand(nlu_confidence)];
  const key = `${taken}/${propensity}/${band}/${labelName({ module: nlu_module, intent: nlu_intent })}`;
  const found = cells.get(key);
  if (found) return found;
  const none = { conversations: 0, chosen: 0, right: 0, wrong: 0, unusable: 0, squares: 0 };
  const label = { nlu_intent, nlu_module };
  const cell = { route: taken, propensity, band, ...none, label, groups: new Map<string, number>() };
  cells.set(key, cell);
  return cell;
}

function follow(followed: Followed, id: string, asked: Asked, most: number): void {
  const isFollowed = (one: string) => unitHash(`evidence/${one}`) < followed.share;
  if (!isFollowed(id)) return;
  followed.asked.set(id, asked);
  while (followed.asked.size > most) {
    followed.share /= 2;
    for (const [one, known] of followed.asked) {
      if (isFollowed(one)) continue;
      countAnswer(known, -1);
      followed.asked.delete(one);
    }
  }
}

/** The conversation after a review. */
function answered(asked: Asked, review: ReviewSubmitted): Asked {
  const { verdict, corrected_intent, corrected_module, review_id, withdraws, reviewed_at } = review;
  const answer = { verdict, corrected_intent, corrected_module, review_id, withdraws, reviewed_at };
  const after = { ...asked, said: withReview(asked.said ?? noAnswers, answer) };
  countAnswer(asked, -1);
  countAnswer(after, 1);
  return after;
}

function countAnswer({ cell, text, said = noAnswers }: Asked, by: 1 | -1): void {
  const counts = countingAnswer(said.answers);
  const about = counts === null ? undefined : judgement(counts, cell.label);
  if (counts === null || about === undefined) return;
  cell[about] += by;
  if (about !== 'unusable') cell.squares += text === null ? by : growth(cell.groups, groupOf(text, counts), by);
}

/**
 * Equal texts answered on one UTC day form a group. Other days are separate, because a version is judged for future
 * traffic, in which texts repeat: as a single label for ever, a few frequent texts could keep a step from ending.
 */
function groupOf(text: number, { reviewed_at }: Said): string {
  return `${text} ${Math.floor(reviewed_at / DAY_MS)}`;
}

/** Adds one to a group or subtracts one. Returns the change of the square of its size. */
function growth(groups: Map<string, number>, group: string, by: 1 | -1): number {
  const before = groups.get(group) ?? 0;
  const after = before + by;
  if (after === 0) groups.delete(group);
  else groups.set(group, after);
  return after ** 2 - before ** 2;
}
