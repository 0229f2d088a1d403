/** Simulates a reviewer with 300 answers: train on the samples, rank the queue, answer from the top, train again. */
import { sketch } from '../policy/near-duplicates.ts';
import { normalise } from '../policy/review-priority.ts';
import { defaultPolicy } from '../policy/routing.ts';
import { labelName } from '../trainer/learning/classifier.ts';
import { evaluate, judge } from '../trainer/learning/evaluate.ts';
import { loadModel } from '../trainer/learning/model.ts';
import type { Model } from '../trainer/learning/model.ts';
import { writeModel } from '../trainer/learning/onnx-writer.ts';
import type { Sample } from '../trainer/learning/split.ts';
import { train } from '../trainer/learning/train.ts';
import type { TowerPlan } from '../trainer/learning/train.ts';
import type { Traffic } from './queue-data.ts';

/** A waiting message with the values that an order may use. */
export interface Waiting {
  readonly place: number;
  readonly intent: string;
  readonly confidence: number;
  /** The confidence minus that of the runner-up. */
  readonly margin: number;
  readonly fingerprint: string;
  readonly sketch: readonly string[];
}

/** Sorts the waiting messages. `byIntent` counts the samples so far by the name of their label; `sketches` are those of their texts. */
export type Order = (
  waiting: readonly Waiting[],
  answered: { readonly byIntent: ReadonlyMap<string, number>; readonly sketches: ReadonlySet<string> },
  seed: number,
) => readonly Waiting[];

/** The quality of the model on the test rows after `answers` answers. */
export interface Point {
  readonly answers: number;
  /** The number of messages that the answers labelled. */
  readonly labelled: number;
  readonly accuracy: number;
  readonly macroF1: number;
}

const BUDGET = 300;
const ROUND = 100;
/** The most similar items that the inbox offers with an item. */
const MAX_SIMILAR = 20;
/** One tower over all views instead of several: the comparison of orders is the same, in a quarter of the time. */
const LIGHT: readonly TowerPlan[] = [{ views: ['words', 'gaps', 'letters', 'runs'], pooling: 'sum', rectified: false }];

/**
 * Simulates one order. After each round, the model is trained and the queue is scored again, as at a promotion. An answer labels
 * one message, with `inGroups` also those that the inbox answers with it (`alongWith`).
 */
export async function playQueue(
  traffic: Traffic,
  rank: Order,
  seed: number,
  { inGroups }: { readonly inGroups: boolean },
): Promise<readonly Point[]> {
  const samples = [...traffic.known];
  let waiting = traffic.stream.map((row, place) => ({ row, place, key: normalise(row.text) }));
  const curve: Point[] = [];
  for (let answers = 0; ; answers += ROUND) {
    const model = await fit(samples, seed);
    const { accuracy, macroF1 } = evaluate(await judge(model, traffic.test), defaultPolicy);
    curve.push({ answers, labelled: samples.length - traffic.known.length, accuracy, macroF1 });
    if (answers >= BUDGET) {
      await model.close();
      return curve;
    }
    const said = await model.classify(waiting.map(({ row }) => row.text));
    await model.close();
    const items = waiting.flatMap(({ place, key }, i): Waiting[] => {
      const answer = said[i];
      if (!answer || answer.confidence > defaultPolicy.thresholds.trust) return []; // trusted: no person is asked
      const margin = answer.confidence - (answer.runnersUp[0]?.confidence ?? 0);
      return [
        {
          ...{ place, intent: labelName(answer), confidence: answer.confidence, margin },
          ...{ fingerprint: key, sketch: sketch(key) },
        },
      ];
    });
    const byIntent = new Map<string, number>();
    for (const sample of samples) byIntent.set(labelName(sample), (byIntent.get(labelName(sample)) ?? 0) + 1);
    const sketches = new Set(samples.flatMap(({ text }) => sketch(normalise(text))));
    const rowAt = ({ place }: Waiting) => traffic.stream[place] as Sample;
    const labels = new Map<number, Sample>();
    let left = ROUND;
    for (const item of rank(items, { byIntent, sketches }, seed + answers)) {
      if (labels.has(item.place)) continue;
      if (left-- === 0) break;
      const { intent, module } = rowAt(item);
      const same = (other: Waiting) => labelName(rowAt(other)) === labelName(rowAt(item));
      const open = inGroups ? items.filter(({ place }) => place !== item.place && !labels.has(place)) : [];
      for (const one of [item, ...alongWith(item, open, same)])
        labels.set(one.place, { ...rowAt(one), intent, module });
    }
    samples.push(...waiting.flatMap(({ place }) => labels.get(place) ?? []));
    waiting = waiting.filter(({ place }) => !labels.has(place));
  }
}

/**
 * The messages that the inbox answers together with an item: all with an equal text and the same predicted intent, whatever their
 * true label, and of the twenty most similar others, those with the same true label, because a person would tick them.
 */
function alongWith(item: Waiting, open: readonly Waiting[], same: (other: Waiting) => boolean): readonly Waiting[] {
  const predicted = open.filter(({ intent }) => intent === item.intent);
  const [equal, others] = [true, false].map((wanted) =>
    predicted.filter(({ fingerprint }) => (fingerprint === item.fingerprint) === wanted),
  );
  const shared = ({ sketch }: Waiting) => sketch.filter((band) => item.sketch.includes(band)).length;
  const similar = (others ?? []).filter((other) => shared(other) > 0).sort((a, b) => shared(b) - shared(a));
  return [...(equal ?? []), ...similar.slice(0, MAX_SIMILAR).filter(same)];
}

async function fit(samples: readonly Sample[], seed: number): Promise<Model> {
  const outcome = await train({ train: samples, dev: [], options: { seed, towers: LIGHT } });
  return loadModel(
    writeModel(outcome.classifier, outcome.views, { encoder: outcome.encoder, manifest: null, training: { seed } }),
  );
}
