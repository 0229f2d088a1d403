/**
 * Turns annotations into reviews. Each version of an annotation counts once, a later version replaces the earlier one,
 * and a deleted annotation is withdrawn. Pure functions: what was counted before is an argument, and what is counted
 * now is part of the result.
 */
import { nameProblems } from '../policy/validation.ts';
import type { ReviewSubmitted, ShownPrediction, Verdict } from '../schemas/types.ts';
import type { Annotation, Task } from './api.ts';
import { CONTROLS } from './labelling-config.ts';

/** A version of an annotation that was counted. */
export interface Counted {
  readonly annotation_id: number;
  readonly label_studio_task_id: number;
  /** Its `updated_at`, in UTC with six decimals, so that versions sort by time as text. */
  readonly version: string;
  readonly review_id: string;
  readonly verdict: Verdict;
  readonly withdrawn: boolean;
  /** The total time spent on it up to this version; null if Label Studio did not say. */
  readonly lead_time_ms: number | null;
}

/** The result of scanning one task. */
export interface Change {
  /** In the order in which to send them. */
  readonly reviews: readonly ReviewSubmitted[];
  /** Annotations whose counted version has changed. */
  readonly counted: readonly Counted[];
  /** Sentences about annotations without a readable label. */
  readonly problems: readonly string[];
}

/** What must be known about the conversation. */
export interface Reviewed {
  readonly conversation_id: string;
  readonly shown: ShownPrediction;
}

/** The changes of `task` since `before` was counted. `nameOf` maps a user's id to the reviewer's name. */
export function changeOf(
  task: Task,
  conversation: Reviewed,
  before: readonly Counted[],
  nameOf: (user: number | null) => string,
): Change {
  const reviews: ReviewSubmitted[] = [];
  const counted: Counted[] = [];
  const problems: string[] = [];
  const withdraw = (one: Counted) => {
    reviews.push(withdrawalOf(one, conversation, versionOf(task.updated_at).ms));
    counted.push({ ...one, withdrawn: true });
  };
  const inOrder = task.annotations
    .map((annotation) => ({ annotation, version: versionOf(annotation.updated_at) }))
    .sort((a, b) => (a.version.text < b.version.text ? -1 : 1));
  for (const { annotation, version } of inOrder) {
    const earlier = before.find(({ annotation_id }) => annotation_id === annotation.id);
    if (earlier && version.text <= earlier.version) continue;
    const standing = earlier?.withdrawn === false ? earlier : undefined;
    const { answer, problem } = answerOf(annotation, conversation.shown);
    if (problem !== undefined)
      problems.push(`Annotation ${annotation.id} of task ${task.id} has no readable label: ${problem}`);
    const lead_time_ms =
      annotation.lead_time == null
        ? null // a negative time, after the clock was set back
        : Math.min(Math.max(Math.round(annotation.lead_time * 1000), 0), 2 ** 31 - 1);
    // A skip with `withdraws` would count as an undo only, so the withdrawal is a separate review.
    const skips = answer.verdict === 'skip';
    if (standing && skips) reviews.push(withdrawalOf(standing, conversation, version.ms));
    const review: ReviewSubmitted = {
      conversation_id: conversation.conversation_id,
      ...answer,
      reviewer: nameOf(annotation.updated_by ?? annotation.completed_by), // an edit counts as the editor's answer
      reviewed_at: version.ms,
      review_id: `label-studio/${annotation.id}/${version.text}`,
      source: 'label_studio',
      time_taken_ms: earlier ? timeSince(earlier.lead_time_ms, lead_time_ms) : lead_time_ms,
      shown: conversation.shown,
      withdraws: standing && !skips ? standing.review_id : null,
    };
    reviews.push(review);
    counted.push({
      annotation_id: annotation.id,
      label_studio_task_id: task.id,
      version: version.text,
      review_id: review.review_id ?? '',
      verdict: review.verdict,
      withdrawn: false,
      lead_time_ms,
    });
  }
  const present = new Set(task.annotations.map(({ id }) => id));
  before.filter((one) => !one.withdrawn && !present.has(one.annotation_id)).forEach(withdraw);
  return { reviews, counted, problems };
}

/** The time that an edit took. Label Studio adds it to the earlier time. Null when one of the two is not known. */
function timeSince(before: number | null, now: number | null): number | null {
  return before === null || now === null || now < before ? null : now - before;
}

type Answer = Pick<ReviewSubmitted, 'verdict' | 'corrected_intent' | 'corrected_module'>;

const SKIP: Answer = { verdict: 'skip', corrected_intent: null, corrected_module: null };

/** The answer in an annotation. Without a readable label it counts as a skip. */
function answerOf(
  annotation: Annotation,
  shown: ShownPrediction,
): { readonly answer: Answer; readonly problem?: string } {
  if (annotation.was_cancelled) return { answer: SKIP };
  if (valuesOf(annotation.result, CONTROLS.use, 'choices').length > 0)
    return { answer: { ...SKIP, verdict: 'reject' } };
  const [path, ...more] = valuesOf(annotation.result, CONTROLS.label, 'taxonomy');
  if (path === undefined) return { answer: SKIP, problem: 'nothing is chosen in `label`.' };
  if (more.length > 0) return { answer: SKIP, problem: 'more than one label is chosen.' };
  if (!Array.isArray(path) || path.length !== 2)
    return { answer: SKIP, problem: 'its label is not a module and an intent.' };
  const [module, intent] = path.map(String) as [string, string];
  if (module === shown.module && intent === shown.intent) return { answer: { ...SKIP, verdict: 'approve' } };
  const [problem] = [...nameProblems('corrected_intent', intent), ...nameProblems('corrected_module', module)];
  if (problem) return { answer: SKIP, problem: problem.message };
  return { answer: { verdict: 'correct', corrected_intent: intent, corrected_module: module } };
}

/**
 * The values of a control in a result: a list of regions, each with `from_name` and a value under the control's type.
 */
function valuesOf(result: unknown, control: string, type: string): readonly unknown[] {
  if (!Array.isArray(result)) return [];
  return result.flatMap((region: unknown) => {
    const { from_name, value } = (region ?? {}) as { from_name?: unknown; value?: Record<string, unknown> | null };
    const values = from_name === control ? value?.[type] : undefined;
    return Array.isArray(values) ? (values as readonly unknown[]) : [];
  });
}

function withdrawalOf({ review_id }: Counted, { conversation_id }: Reviewed, reviewed_at: number): ReviewSubmitted {
  return {
    conversation_id,
    ...SKIP,
    reviewer: 'label-studio',
    reviewed_at,
    review_id: `${review_id}/withdrawn`,
    source: 'label_studio',
    time_taken_ms: null,
    shown: null,
    withdraws: review_id,
  };
}

/**
 * A time from Label Studio, in milliseconds and as UTC text with six decimals, because two saves may fall into the same
 * millisecond.
 */
export function versionOf(updatedAt: string): { readonly ms: number; readonly text: string } {
  const ms = Date.parse(updatedAt);
  if (Number.isNaN(ms))
    throw new Error(`Label Studio says that an annotation changed at ${updatedAt}, which is not a valid time.`);
  const micros = (/\.(\d+)/.exec(updatedAt)?.[1] ?? '').padEnd(6, '0').slice(0, 6);
  return { ms, text: `${new Date(ms).toISOString().slice(0, 19)}.${micros}Z` };
}
