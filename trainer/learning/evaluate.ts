/** Measures a model on rows that people labelled, with the answers of its file. */
import { groupBy } from '../../policy/group-by.ts';
import { route } from '../../policy/routing.ts';
import type { RoutingPolicy } from '../../policy/routing.ts';
import type { Route } from '../../schemas/types.ts';
import { labelName, OUT_OF_SCOPE } from './classifier.ts';
import {
  auroc,
  expectedCalibrationError,
  percentile,
  recallAtAcceptance,
  reliability,
  scoresByClass,
} from './metrics.ts';
import type { IntentScore, ReliabilityBin } from './metrics.ts';
import type { Answer, Model } from './model.ts';
import type { Sample } from './split.ts';

/** A test row and the model's answer. */
export interface Judged {
  readonly row: Sample;
  readonly answer: Answer;
}

/** The score of a slice of the rows. */
export interface SliceScore {
  readonly rows: number;
  readonly accuracy: number;
}

/** Latency per text, in milliseconds. */
export interface Latency {
  readonly mean: number;
  readonly p50: number;
  readonly p99: number;
}

/** All measures of one model. Shares are 0 to 1. */
export interface Evaluation {
  readonly rows: number;
  readonly outOfScopeRows: number;
  /** Over the rows in scope; an answer is right when intent and module match. */
  readonly accuracy: number;
  readonly macroF1: number;
  readonly byIntent: Readonly<Record<string, IntentScore>>;
  readonly byModule: Readonly<Record<string, SliceScore>>;
  readonly byLanguage: Readonly<Record<string, SliceScore>>;
  /** Over rows in scope, 15 bins. */
  readonly calibrationError: number;
  readonly reliability: readonly ReliabilityBin[];
  /** Null when no row is out of scope. */
  readonly outOfScope: {
    readonly auroc: number;
    /** Share of out-of-scope rows rejected at the threshold that accepts 90 % of the others. */
    readonly recallAt90Acceptance: number;
  } | null;
  /** Share that the policy would auto-approve. */
  readonly autoApprovalRate: number;
  /** Share of right answers among the auto-approved; null when there are none. */
  readonly autoApprovedAccuracy: number | null;
  /**
   * Share that the policy sends to people first: below its doubt threshold, not the model's, which a tenth of the texts
   * in scope miss by design.
   */
  readonly fallbackRate: number;
  readonly latencyMs: Latency | null;
}

/** Asks a model for its answers to the test rows. */
export async function judge(model: Model, rows: readonly Sample[]): Promise<readonly Judged[]> {
  const answers = await model.classify(rows.map((row) => row.text));
  return rows.flatMap((row, i) => {
    const answer = answers[i];
    return answer ? [{ row, answer }] : [];
  });
}

/** Measures `texts` one by one, after a short warm-up. */
export async function measureLatency(model: Model, texts: readonly string[]): Promise<Latency> {
  const times: number[] = [];
  for (const text of texts.slice(0, 20)) await model.classify([text]);
  for (const text of texts) {
    const start = performance.now();
    await model.classify([text]);
    times.push(performance.now() - start);
  }
  return { mean: mean(times), p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
}

/** Computes all measures of one model. */
export function evaluate(
  judged: readonly Judged[],
  policy: RoutingPolicy,
  latencyMs: Latency | null = null,
): Evaluation {
  const inScope = judged.filter(({ row }) => row.intent !== OUT_OF_SCOPE);
  const outside = judged.filter(({ row }) => row.intent === OUT_OF_SCOPE);
  const byIntent = scoresByClass(
    inScope.map(({ row }) => labelName(row)),
    inScope.map(({ answer }) => labelName(answer)),
  );
  const judgements = inScope.map((one) => ({ confidence: one.answer.confidence, correct: isRight(one) }));
  const [inside, out] = [inScope.map(confidenceOf), outside.map(confidenceOf)];
  const routed = judged.map((one) => ({ ...one, route: routeOf(one, policy) }));
  const approved = routed.filter(({ route }) => route === 'auto_approved');
  return {
    rows: judged.length,
    outOfScopeRows: outside.length,
    accuracy: share(inScope, isRight),
    macroF1: mean([...byIntent.values()].map(({ f1 }) => f1)),
    byIntent: Object.fromEntries(byIntent),
    byModule: slices(inScope, ({ row }) => row.module),
    byLanguage: slices(inScope, ({ row }) => row.language),
    calibrationError: expectedCalibrationError(judgements),
    reliability: reliability(judgements),
    outOfScope:
      outside.length === 0
        ? null
        : {
            auroc: auroc(inside, out),
            recallAt90Acceptance: recallAtAcceptance(inside, out, 0.9),
          },
    autoApprovalRate: judged.length === 0 ? 0 : approved.length / judged.length,
    autoApprovedAccuracy: approved.length === 0 ? null : share(approved, isRight),
    fallbackRate: share(routed, ({ route }) => route === 'priority_review'),
    latencyMs,
  };
}

/** Whether intent and module match the row. */
export function isRight({ row, answer }: Judged): boolean {
  return row.intent === answer.intent && row.module === answer.module;
}

function confidenceOf({ answer }: Judged): number {
  return answer.confidence;
}

/** The route that the policy would give the answer in production. */
function routeOf({ row, answer }: Judged, policy: RoutingPolicy): Route {
  return route(policy, {
    conversation_id: '',
    language: row.language,
    nlu_intent: answer.intent,
    nlu_module: answer.module,
    nlu_confidence: answer.confidence,
    nlu_provider: 'indicbert',
  }).route;
}

function slices(judged: readonly Judged[], of: (one: Judged) => string): Readonly<Record<string, SliceScore>> {
  const groups = [...groupBy(judged, of)].sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(
    groups.map(([name, rows]) => [name, { rows: rows.length, accuracy: share(rows, isRight) }]),
  );
}

function share<T>(items: readonly T[], holds: (item: T) => boolean): number {
  return items.length === 0 ? 0 : items.filter(holds).length / items.length;
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((a, b) => a + b, 0) / values.length;
}
