/**
 * The trainer as a straight line: labelled texts in, a calibrated classifier out. The same data and seed give
 * bit-identical numbers. In the manner of karpathy/nanoGPT, every choice is in the block below.
 */
import { groupBy } from '../../policy/group-by.ts';
import { textHash } from '../../policy/hash.ts';
import { calibrationWeights, crossEntropy, fitTemperature } from './calibration.ts';
import { labelName, OUT_OF_SCOPE, softmax, vote } from './classifier.ts';
import type { Classifier, Label } from './classifier.ts';
import { createEncoder } from './encoder.ts';
import type { EncoderConfig, EncoderPlaces, Rows, View } from './encoder.ts';
import { hashedNgrams } from './hashed-ngrams.ts';
import { nameWords, relatives } from './intent-names.ts';
import { quantise } from './quantise.ts';
import { random, shuffle } from './random.ts';
import type { Sample } from './split.ts';
import { newTower, TowerLearner, widenTower } from './tower.ts';
import type { Tower } from './tower.ts';
import { learnVocabulary, weigh } from './vocabulary.ts';

/** The plan of a tower: the views it sees, how it pools their features, and whether it has a rectifier. */
export interface TowerPlan extends Pick<Tower, 'pooling' | 'rectified'> {
  readonly views: readonly string[];
}

/** Every choice, for all data sets. docs/training.md lists which were measured and their effect. */
export const defaults = {
  seed: 1,
  encoder: hashedNgrams as EncoderConfig,
  /**
   * Views (by name) of each tower. Towers are trained separately, so that no view relies on another, and they vote
   * together.
   */
  towers: [
    { views: ['words', 'gaps'], pooling: 'sum', rectified: false },
    { views: ['letters'], pooling: 'sum', rectified: false },
    { views: ['words', 'letters'], pooling: 'sum', rectified: false },
    { views: ['runs'], pooling: 'sum', rectified: false },
    { views: ['words'], pooling: 'max', rectified: false },
    { views: ['words', 'letters'], pooling: 'max', rectified: false },
    { views: ['words', 'letters'], pooling: 'sum', rectified: false }, // the best single tower votes twice
  ] as readonly TowerPlan[],
  /** Hidden units per tower. */
  hidden: 96,
  /** Hidden units when max-pooling towers take part, because there are then more towers. */
  hiddenBesideMaxima: 64,
  /** Features kept per view, most frequent first: at most 46 MB of weights with max-pooling towers, 50 MB without. */
  features: 65_536,
  epochs: 10,
  /** Stops after this many epochs without a lower dev loss. */
  patience: 3,
  /** Falls linearly to zero over the epochs. */
  learningRate: 0.05,
  featureDropout: 0.2,
  hiddenDropout: 0.3,
  smoothing: 0.1,
  /**
   * Intents whose names share a word ("alarm_set", "calendar_set") share output weights; 0 switches this off. For
   * n-grams.
   */
  nameSharing: 0.5,
  /** Share of the training rows held out when no dev rows are given; they are trained on afterwards. */
  heldOut: 0.1,
  /**
   * Fewer rows than this, dev rows included, count as few. The two choices below apply only then, when they are worth
   * their cost.
   */
  fewRows: 5_000,
  /** Whether dev rows are trained on afterwards, in a second fit. */
  learnDev: true,
  /**
   * Whether the name of each intent is an additional text of it: "track_order" gives "track order". For n-grams; not
   * measured otherwise.
   */
  learnNames: true,
  /**
   * With fewer rows than this, features that point to one intent start with a higher weight; with more rows, training
   * learns this better. From this number on, `nameSharing` and max-pooling towers, which ignore weights, take part. For
   * n-grams.
   */
  certainRows: 2_000,
  /** Share of in-scope texts that the out-of-scope threshold accepts. */
  acceptance: 0.9,
  /**
   * Incremental runs: factors for the epochs and the learning rate, and the number of known rows per intent to
   * rehearse.
   */
  incremental: { epochs: 0.5, learningRate: 0.5, rehearsalPerIntent: 30 },
};

/** Overrides of the defaults. */
export type TrainingOptions = Partial<typeof defaults>;

/** The most epochs that may be requested. */
const MAX_EPOCHS = 50;

/** The input of training. */
export interface TrainingInput {
  readonly train: readonly Sample[];
  /** For early stopping, temperature and threshold; when empty, part of `train` is held out. */
  readonly dev: readonly Sample[];
  /** The version to go on from. With it, rows marked `seen` are only rehearsed. */
  readonly previous?: Classifier;
  readonly options?: TrainingOptions;
  readonly places?: EncoderPlaces;
}

/** The progress after an epoch. */
export interface EpochReport {
  readonly stage: 'fit' | 'refit';
  readonly epoch: number;
  readonly epochs: number;
  readonly trainLoss: number;
  /** On the dev rows at the best-fitting temperature; null when there are none. */
  readonly devLoss: number | null;
  readonly devAccuracy: number | null;
}

/** The result of training. */
export interface TrainingOutcome {
  readonly classifier: Classifier;
  readonly encoder: EncoderConfig;
  readonly views: readonly View[];
  readonly history: readonly EpochReport[];
  readonly options: typeof defaults;
  readonly rows: { readonly train: number; readonly dev: number; readonly heldOut: number; readonly rehearsed: number };
}

/** The data can't train a classifier. The message is a sentence for the person who started the run. */
export class TrainingError extends Error {
  override readonly name = 'TrainingError';
}

/** Callbacks and the signal for a run. */
export interface TrainingControl {
  readonly signal?: AbortSignal;
  readonly onEpoch?: (report: EpochReport) => void;
}

/**
 * Trains a classifier.
 * @throws TrainingError when the rows can't make a classifier. @throws the signal's reason when aborted.
 */
export async function train(input: TrainingInput, control: TrainingControl = {}): Promise<TrainingOutcome> {
  const o = { ...defaults, ...input.options };
  const { previous } = input;
  const history: EpochReport[] = [];

  // 1. Rows and labels. Labels of the previous version keep their positions.
  checkRows(input.train, o.epochs);
  const labels = labelsOf(input.train, previous?.labels ?? []);
  const labelIndex = new Map(labels.map((label, i) => [labelName(label), i]));
  const labelOf = (row: Label) => labelIndex.get(labelName(row)) ?? -1;

  // 2. Features of all texts: training rows, then dev rows, then the names of the intents.
  const given = input.train.length + input.dev.length;
  const [few, ngrams] = [given < o.fewRows, o.encoder.kind === 'hashed-ngrams'];
  const names = few && ngrams && o.learnNames ? labels.filter(({ intent }) => intent !== OUT_OF_SCOPE) : [];
  const related = ngrams && given >= o.certainRows && o.nameSharing > 0 ? relatives(labels) : [];
  const sums = o.towers.filter(({ pooling }) => pooling === 'sum');
  const hadMaxima = previous?.towers.some(({ pooling }) => pooling === 'max') ?? false;
  const plans = hadMaxima || (ngrams && given >= o.certainRows) || sums.length === 0 ? o.towers : sums;
  const hidden = plans.length > sums.length ? o.hiddenBesideMaxima : o.hidden;
  const truth = Int32Array.from([...input.train, ...input.dev, ...names], labelOf);
  const encoder = await createEncoder(o.encoder, input.places);
  const views = encoder.views;
  const encoded = await encoder.encode([
    ...[...input.train, ...input.dev].map(({ text }) => text),
    ...names.map(({ intent }) => nameWords(intent)),
  ]);
  await encoder.close();
  if (encoded.every(({ starts }) => starts[input.train.length] === 0))
    throw new TrainingError(
      `None of the ${input.train.length} training texts has a word in it; there is nothing to learn.`,
    );

  // 3. One fit: trains on the rows `order` and evaluates on the rows `watched`, if any.
  const fit = async (
    stage: 'fit' | 'refit',
    order: Int32Array,
    epochs: number,
    watched: Int32Array = new Int32Array(0),
  ) => {
    const chosen = encoded.map((rows) => selectRows(rows, order));
    const targets = pick(truth, order);
    const labelled = ngrams && given < o.certainRows ? { of: targets, classes: labels.length } : undefined;
    const vocabularies = chosen.map((rows, i) =>
      learnVocabulary(rows, views[i]?.width ?? 0, o.features, previous?.vocabularies[i], labelled),
    );
    const weighed = chosen.map((rows, i) => weigh(rows, vocabularies[i] ?? missing('vocabulary')));
    const watchedRows = encoded.map((rows, i) =>
      weigh(selectRows(rows, watched), vocabularies[i] ?? missing('vocabulary')),
    );
    const watchedLabels = pick(truth, watched);
    const planned = towerViews(plans, views);
    const known = continued(planned, previous?.towers ?? []);
    const learners = planned.map((plan, t) => {
      const next = random(Math.imul(o.seed, 1000) + t);
      const sizes = plan.views.map((view) => vocabularies[view]?.idf.length ?? 0);
      const before = known[t];
      const tower = before
        ? widenTower(before, sizes, labels.length, next)
        : newTower(plan.views, sizes, { ...plan, hidden }, labels.length, next);
      return { learner: new TowerLearner(tower, o, next, related), next, order: Int32Array.from(order.keys()) };
    });
    let [step, best, worse] = [0, Infinity, 0];
    const rate = o.learningRate * (previous ? o.incremental.learningRate : 1);
    let epoch = 0;
    while (epoch < epochs && worse < o.patience) {
      epoch += 1;
      let loss = 0;
      for (const { learner, next, order: towerOrder } of learners) {
        shuffle(towerOrder, next);
        towerOrder.forEach((row, i) => {
          const done = (step + i) / (epochs * order.length);
          loss += learner.learn(weighed, row, targets[row] ?? 0, rate * (1 - done));
        });
        // Lets the abort signal and other work of this thread run.
        await new Promise((resolve) => setImmediate(resolve));
        control.signal?.throwIfAborted();
      }
      step += order.length;
      const towers = learners.map(({ learner }) => learner.tower);
      const dev = judge(vote(towers, watchedRows), watchedLabels, labels);
      worse = dev && dev.loss >= best ? worse + 1 : 0;
      best = Math.min(best, dev?.loss ?? best);
      const report = {
        stage,
        epoch,
        epochs,
        trainLoss: loss / order.length / learners.length,
        devLoss: dev?.loss ?? null,
        devAccuracy: dev?.accuracy ?? null,
      };
      history.push(report);
      control.onEpoch?.(report);
    }
    const towers = quantise(
      learners.map(({ learner }) => learner.tower),
      views.length,
    );
    return { towers, vocabularies, epoch, logits: vote(towers, watchedRows) };
  };

  // 4. The rows to train on: all, or the new ones and a sample of the known ones.
  const [order, rehearsed] = previous
    ? rehearsal(input.train, o.incremental.rehearsalPerIntent)
    : [placesFrom(0, input.train.length), 0];
  const epochs = Math.max(1, Math.round(o.epochs * (previous ? o.incremental.epochs : 1)));
  const dev = placesFrom(input.train.length, input.dev.length);
  const held = dev.length > 0 ? new Int32Array(0) : heldOutRows(input.train, order, o.heldOut);
  const heldSet = new Set(held);
  const watched = dev.length > 0 ? dev : held;
  const always = placesFrom(input.train.length + input.dev.length, names.length);
  const early = order.filter((row) => !heldSet.has(row));
  const first = await fit('fit', joined(early, always), epochs, watched);

  // 5. Temperature and threshold from rows that were not trained on.
  const watchedLabels = pick(truth, watched);
  const rows = [...input.train, ...input.dev];
  const weights = calibrationWeights(Array.from(watched, (row) => rows[row] ?? missing('row')));
  const temperature = fitTemperature(first.logits, watchedLabels, labels.length, weights);
  const threshold = acceptanceThreshold(first.logits, watchedLabels, labels, temperature, o.acceptance);

  // 6. Finally trains on the held-out rows, for as many epochs as the first fit took; with few rows, on the dev rows
  // too.
  const learnedDev = few && o.learnDev && !previous ? dev.filter((row) => (truth[row] ?? -1) >= 0) : new Int32Array(0);
  const late = held.length + learnedDev.length > 0;
  const last = late ? await fit('refit', joined(order, learnedDev, always), first.epoch) : first;
  return {
    classifier: { labels, vocabularies: last.vocabularies, towers: last.towers, temperature, threshold },
    encoder: encoder.config,
    views,
    history,
    options: o,
    rows: { train: order.length, dev: input.dev.length, heldOut: held.length, rehearsed },
  };
}

function checkRows(rows: readonly Sample[], epochs: number): void {
  if (!Number.isInteger(epochs) || epochs < 1 || epochs > MAX_EPOCHS)
    throw new TrainingError(`epochs is ${epochs}; it must be a whole number from 1 to ${MAX_EPOCHS}.`);
  if (rows.length === 0)
    throw new TrainingError(
      'There are no training rows: every text is empty, left out, or reserved for testing and calibration.',
    );
  const names = new Set(rows.map(labelName));
  if (names.size < 2)
    throw new TrainingError(
      `All ${rows.length} training rows have the intent ${[...names].join()}; a classifier needs at least two.`,
    );
}

/** Labels ordered by name, after the unchanged labels of `known`. */
function labelsOf(rows: readonly Sample[], known: readonly Label[]): readonly Label[] {
  const before = new Set(known.map(labelName));
  const fresh = new Map(rows.map(({ module, intent }) => [labelName({ module, intent }), { module, intent }]));
  const names = [...fresh.keys()].filter((name) => !before.has(name)).sort();
  return [...known, ...names.map((name) => fresh.get(name) ?? missing('label'))];
}

/**
 * New rows, and up to `perIntent` known rows of each intent, chosen by hash, because rows that are not rehearsed are
 * forgotten.
 */
function rehearsal(rows: readonly Sample[], perIntent: number): readonly [Int32Array, number] {
  const seen = [...rows.keys()].filter((i) => rows[i]?.seen === true);
  const old = groupBy(seen, (i) => labelName(rows[i] ?? missing('row')));
  const kept = new Set([...old.values()].flatMap((places) => inHashOrder(rows, places).slice(0, perIntent)));
  const order = placesFrom(0, rows.length).filter((i) => rows[i]?.seen !== true || kept.has(i));
  return [order, kept.size];
}

/** About `share` of the rows of each intent, chosen by hash; none from intents with fewer than five rows. */
function heldOutRows(rows: readonly Sample[], order: Int32Array, share: number): Int32Array {
  const byIntent = groupBy(order, (i) => labelName(rows[i] ?? missing('row')));
  const held = [...byIntent.values()].flatMap((places) =>
    places.length < 5 ? [] : inHashOrder(rows, places).slice(0, Math.round(places.length * share)),
  );
  return Int32Array.from(held).sort();
}

function inHashOrder(rows: readonly Sample[], places: readonly number[]): readonly number[] {
  const keyed = places.map((i) => ({ i, key: textHash(`held/${rows[i]?.text ?? ''}`) }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.i - b.i)).map(({ i }) => i);
}

function placesFrom(start: number, length: number): Int32Array {
  return Int32Array.from({ length }, (_, i) => start + i);
}

function joined(...parts: readonly Int32Array[]): Int32Array {
  return Int32Array.from(parts.flatMap((part) => [...part]));
}

function pick(values: Int32Array, places: Int32Array): Int32Array {
  return places.map((place) => values[place] ?? 0);
}

function selectRows({ starts, indices, values }: Rows, order: Int32Array): Rows {
  const newStarts = new Int32Array(order.length + 1);
  order.forEach((row, i) => (newStarts[i + 1] = (newStarts[i] ?? 0) + (starts[row + 1] ?? 0) - (starts[row] ?? 0)));
  const total = newStarts.at(-1) ?? 0;
  const chosen = { starts: newStarts, indices: new Int32Array(total), values: new Float32Array(total) };
  order.forEach((row, i) => {
    chosen.indices.set(indices.subarray(starts[row], starts[row + 1]), newStarts[i]);
    chosen.values.set(values.subarray(starts[row], starts[row + 1]), newStarts[i]);
  });
  return chosen;
}

/**
 * For each tower, the indices of its views in the encoder; a single tower over all views if the encoder has none of
 * them.
 */
function towerViews(
  towers: typeof defaults.towers,
  views: readonly { readonly name: string }[],
): readonly Pick<Tower, 'views' | 'pooling' | 'rectified'>[] {
  const places = towers.map((plan) => ({
    ...plan,
    views: plan.views.map((name) => views.findIndex((view) => view.name === name)),
  }));
  const usable = places.filter((tower) => tower.views.every((view) => view >= 0));
  return usable.length > 0 ? usable : [{ views: [...views.keys()], pooling: 'sum', rectified: true }];
}

/** For each plan, the tower of `known` with the same views and pooling. Each is used once. */
function continued(
  plans: readonly Pick<Tower, 'views' | 'pooling' | 'rectified'>[],
  known: readonly Tower[],
): readonly (Tower | undefined)[] {
  const kind = ({ views, pooling, rectified }: (typeof plans)[number]) => JSON.stringify([views, pooling, rectified]);
  const left = [...known];
  return plans.map((plan) => {
    const at = left.findIndex((tower) => kind(tower) === kind(plan));
    return at < 0 ? undefined : left.splice(at, 1)[0];
  });
}

/** Loss at the best temperature, and accuracy, of scores against labels. */
function judge(
  logits: Float32Array,
  truth: Int32Array,
  labels: readonly Label[],
): { loss: number; accuracy: number } | undefined {
  const classes = labels.length;
  const known = truth.filter((label) => label >= 0).length;
  if (known === 0) return undefined;
  const temperature = fitTemperature(logits, truth, classes);
  const right = truth.filter(
    (label, row) => label >= 0 && argmax(logits.subarray(row * classes, (row + 1) * classes)) === label,
  );
  return { loss: crossEntropy(logits, truth, classes, temperature), accuracy: right.length / known };
}

function argmax(values: Float32Array): number {
  return values.reduce((best, value, i) => (value > (values[best] ?? 0) ? i : best), 0);
}

/** The confidence that a share of `acceptance` of the in-scope rows reaches; 0 without rows. */
function acceptanceThreshold(
  logits: Float32Array,
  truth: Int32Array,
  labels: readonly Label[],
  temperature: number,
  acceptance: number,
): number {
  const p = softmax(logits, labels.length, temperature);
  const inScope = labels.flatMap(({ intent }, c) => (intent === OUT_OF_SCOPE ? [] : [c]));
  const confidences = Array.from(truth.keys())
    .filter((row) => (truth[row] ?? -1) >= 0 && labels[truth[row] ?? 0]?.intent !== OUT_OF_SCOPE)
    .map((row) => Math.max(...inScope.map((c) => p[row * labels.length + c] ?? 0)))
    .sort((a, b) => a - b);
  return confidences[Math.floor(confidences.length * (1 - acceptance) + 1e-9)] ?? 0;
}

function missing(what: string): never {
  throw new Error(`The trainer lost its ${what}; this is a mistake in the program.`);
}
