/**
 * One member of the classifier (texts → weighted features → hidden layer → intents) and its training step for one text.
 * The first layer is an embedding of features. They are summed, as in fastText (Joulin et al. 2016, arXiv:1607.01759),
 * or max-pooled per unit, as in Collobert et al. 2011, section 3.3: a sum dilutes a single word among many, a maximum
 * keeps it. Some towers apply a rectifier to the hidden layer. Plain index loops throughout, because training spends
 * its time here.
 */
/* eslint-disable @typescript-eslint/no-non-null-assertion -- indices are in range by construction; checks would cost time */
import { addRows, moveRows, multiplyRows } from './chosen-rows.ts';
import type { ChosenRows } from './chosen-rows.ts';
import type { Rows } from './encoder.ts';

/** The weights of a tower over some views, with `hidden` units and `classes` outputs. */
export interface Tower {
  readonly views: readonly number[];
  readonly hidden: number;
  /**
   * How the embeddings of a text's features become one number per unit: 'sum' adds them by weight, 'max' takes the
   * largest and ignores the weights. A text without known features gives 0 in both cases. Several views are added.
   */
  readonly pooling: 'sum' | 'max';
  /** Whether negative hidden units become zero; without it the tower is linear. */
  readonly rectified: boolean;
  readonly classes: number;
  /** One matrix per view: features × hidden, row by row. */
  readonly features: readonly Float32Array[];
  readonly hiddenBias: Float32Array;
  /** hidden × classes, row by row. */
  readonly output: Float32Array;
  readonly outputBias: Float32Array;
}

/** Rates of dropout, smoothing and sharing during training. */
export interface LearningRates {
  /** Share of a text's features dropped at random, so that the tower relies on no single one. */
  readonly featureDropout: number;
  /** Share of hidden units dropped at random (Srivastava et al. 2014). */
  readonly hiddenDropout: number;
  /** Label smoothing: the share of the target spread over all intents (Szegedy et al. 2016, section 7). */
  readonly smoothing: number;
  /** How much of an intent's gradient goes to intents that share a word of their name; see `TowerLearner`. */
  readonly nameSharing: number;
}

/** An untrained tower. Embeddings start small, so that rare features do not begin as noise. */
export function newTower(
  views: readonly number[],
  sizes: readonly number[],
  { hidden, pooling, rectified }: Pick<Tower, 'hidden' | 'pooling' | 'rectified'>,
  classes: number,
  next: () => number,
): Tower {
  // A plain loop: the callback of Float32Array.from took a tenth of a short run's time.
  const small = (length: number, size: number) => {
    const weights = new Float32Array(length);
    for (let i = 0; i < length; i++) weights[i] = (2 * next() - 1) * size;
    return weights;
  };
  return {
    views,
    hidden,
    pooling,
    rectified,
    classes,
    features: sizes.map((size) => small(size * hidden, 0.035)),
    hiddenBias: new Float32Array(hidden),
    output: small(hidden * classes, Math.sqrt(3 / hidden)),
    outputBias: new Float32Array(classes),
  };
}

/** Scores of every intent for each row: rows × classes. */
export function scores(tower: Tower, views: readonly Rows[]): Float32Array {
  const { hidden, pooling, rectified, classes, hiddenBias, output, outputBias } = tower;
  const rows = (views[0]?.starts.length ?? 1) - 1;
  const result = new Float32Array(rows * classes);
  const [sums, largest] = [new Float32Array(hidden), new Float32Array(hidden)];
  const units = {
    starts: Int32Array.from({ length: hidden }, (_, j) => j * classes),
    factors: new Float32Array(hidden),
  };
  const share = 1 / Math.sqrt(tower.views.length);
  const places = tower.views.map((view) => views[view]!.indices.map((feature) => feature * hidden));
  const weights = tower.views.map((view) => views[view]!.values.map((value) => value * share));
  for (let r = 0; r < rows; r++) {
    sums.set(hiddenBias);
    for (const [i, view] of tower.views.entries()) {
      const { starts } = views[view]!;
      const table = tower.features[i]!;
      const [from, to] = [starts[r]!, starts[r + 1]!];
      if (pooling === 'sum') addRows(sums, table, { starts: places[i]!, factors: weights[i]! }, from, to);
      else if (from < to) {
        largest.fill(-Infinity);
        for (let k = from; k < to; k++) {
          const at = places[i]![k]!;
          for (let j = 0; j < hidden; j++) if (table[at + j]! > largest[j]!) largest[j] = table[at + j]!;
        }
        for (let j = 0; j < hidden; j++) sums[j]! += share * largest[j]!;
      }
    }
    for (let j = 0; j < hidden; j++) units.factors[j] = rectified ? Math.max(0, sums[j]!) : sums[j]!;
    const out = result.subarray(r * classes, (r + 1) * classes);
    out.set(outputBias);
    addRows(out, output, units, 0, hidden);
  }
  return result;
}

/**
 * Trains a tower one text at a time.
 *
 * The output weights of an intent are its own vector plus √s times those of its `relatives`: groups of intents, one for
 * each word in their names. Because everything is linear, only the sum is stored: a gradient step on all of these
 * vectors moves it by the intent's own gradient plus s = `nameSharing` times the summed gradients of each of its
 * groups.
 */
export class TowerLearner {
  readonly tower: Tower;
  readonly #rates: LearningRates;
  readonly #next: () => number;
  readonly #relatives: readonly Int32Array[];
  /**
   * Sums of squared gradients (AdaGrad, Duchi et al. 2011), one per row of weights, so that each row needs only one
   * square root. They start at the size of a few gradients, so that the first occurrence of a rare feature moves it
   * little.
   */
  readonly #featureSums: readonly Float32Array[];
  readonly #unitSums: Float32Array;
  readonly #biasSums: Float32Array;
  #hiddenBiasSum = 1e-8;
  /** The active units and their rows of the output layer; holds their activations, then their updates. */
  readonly #kept: Int32Array;
  readonly #units: ChosenRows;
  readonly #sums: Float32Array;
  readonly #back: Float32Array;
  readonly #gradient: Float32Array;
  readonly #shared: Float32Array;
  readonly #hiddenGradient: Float32Array;
  /** With max pooling: for each view and unit, the position of the largest among the chosen features; −1 for none. */
  readonly #winners: readonly Int32Array[];
  readonly #largest: Float32Array;
  /**
   * The active features, view after view, and their rows of the first layer; holds their weights, then their updates.
   */
  #chosen: ChosenRows = { starts: new Int32Array(1024), factors: new Float32Array(1024) };

  constructor(tower: Tower, rates: LearningRates, next: () => number, relatives: readonly Int32Array[] = []) {
    this.tower = tower;
    this.#rates = rates;
    this.#next = next;
    this.#relatives = relatives;
    this.#featureSums = tower.features.map((f) => new Float32Array(f.length / tower.hidden).fill(1e-4));
    this.#unitSums = new Float32Array(tower.hidden).fill(1e-3);
    this.#biasSums = new Float32Array(tower.classes).fill(1e-8);
    this.#kept = new Int32Array(tower.hidden);
    this.#units = { starts: new Int32Array(tower.hidden), factors: new Float32Array(tower.hidden) };
    this.#sums = new Float32Array(tower.hidden);
    this.#back = new Float32Array(tower.hidden);
    this.#gradient = new Float32Array(tower.classes);
    this.#shared = new Float32Array(tower.classes);
    this.#hiddenGradient = new Float32Array(tower.hidden);
    this.#winners = tower.views.map(() => new Int32Array(tower.hidden));
    this.#largest = new Float32Array(tower.hidden);
  }

  /** Trains on row `row` of `views` with class `label`. Returns the loss before the update. */
  learn(views: readonly Rows[], row: number, label: number, rate: number): number {
    const { hidden, pooling, rectified, classes, features, hiddenBias, output, outputBias } = this.tower;
    const { featureDropout, hiddenDropout, smoothing, nameSharing } = this.#rates;
    const [kept, sums, gradient, hiddenGradient] = [this.#kept, this.#sums, this.#gradient, this.#hiddenGradient];
    const [units, back, shared] = [this.#units, this.#back, this.#shared];
    const next = this.#next;

    // 1. The active features, and their sums or maxima.
    sums.set(hiddenBias);
    // Feature dropout lowers a sum, but not a maximum, so only the sum is rescaled.
    const share = 1 / Math.sqrt(this.tower.views.length) / (pooling === 'max' ? 1 : 1 - featureDropout);
    let length = 0;
    const ends: number[] = [];
    for (const [i, view] of this.tower.views.entries()) {
      const { starts, indices, values } = views[view]!;
      const [from, to] = [starts[row]!, starts[row + 1]!];
      if (length + to - from > this.#chosen.starts.length) this.#grow(length + to - from);
      const chosen = this.#chosen;
      const start = length;
      for (let k = from; k < to; k++) {
        if (next() < featureDropout) continue;
        chosen.starts[length] = indices[k]! * hidden;
        chosen.factors[length++] = values[k]! * share;
      }
      if (pooling === 'max') this.#addLargest(i, start, length, share);
      else addRows(sums, features[i]!, chosen, start, length);
      ends.push(length);
    }

    // 2. The active hidden units: without the dropped ones and, with a rectifier, only those above zero.
    const scale = 1 / (1 - hiddenDropout);
    let active = 0;
    for (let j = 0; j < hidden; j++) {
      if (next() < hiddenDropout || (rectified && sums[j]! <= 0)) continue;
      kept[active] = j;
      units.starts[active] = j * classes;
      units.factors[active++] = sums[j]! * scale;
    }

    // 3. Probabilities and the gradient of the cross entropy.
    gradient.set(outputBias);
    addRows(gradient, output, units, 0, active);
    let top = -Infinity;
    for (let c = 0; c < classes; c++) if (gradient[c]! > top) top = gradient[c]!;
    let total = 0;
    for (let c = 0; c < classes; c++) total += gradient[c] = Math.exp(gradient[c]! - top);
    const loss = -Math.log(gradient[label]! / total + 1e-30);
    let outputSquares = 0;
    for (let c = 0; c < classes; c++) {
      const g = gradient[c]! / total - smoothing / classes - (c === label ? 1 - smoothing : 0);
      gradient[c] = g;
      outputSquares += g * g;
      this.#biasSums[c]! += g * g;
      outputBias[c]! -= (rate * g) / Math.sqrt(this.#biasSums[c]!);
    }
    outputSquares /= classes;
    shared.set(gradient);
    for (const group of this.#relatives) {
      let sum = 0;
      for (const c of group) sum += gradient[c]!;
      for (const c of group) shared[c]! += nameSharing * sum;
    }

    // 4. Backward through the output layer, which is then updated.
    multiplyRows(back, output, units, 0, active, gradient);
    hiddenGradient.fill(0);
    let hiddenSquares = 0;
    for (let q = 0; q < active; q++) {
      const [unit, j] = [units.factors[q]!, kept[q]!];
      this.#unitSums[j]! += unit * unit * outputSquares;
      units.factors[q] = (rate * unit) / Math.sqrt(this.#unitSums[j]!);
      const g = back[q]! * scale;
      hiddenGradient[j] = g;
      hiddenSquares += g * g;
    }
    moveRows(output, units, 0, active, shared);
    hiddenSquares /= hidden;

    // 5. Updates of features and hidden biases.
    this.#hiddenBiasSum += hiddenSquares;
    const biasStep = rate / Math.sqrt(this.#hiddenBiasSum);
    for (let j = 0; j < hidden; j++) hiddenBias[j]! -= biasStep * hiddenGradient[j]!;
    const chosen = this.#chosen;
    let start = 0;
    for (const [i, end] of ends.entries()) {
      if (pooling === 'max') this.#learnLargest(i, share, active, rate);
      else {
        const squares = this.#featureSums[i]!;
        for (let k = start; k < end; k++) {
          const [feature, value] = [chosen.starts[k]! / hidden, chosen.factors[k]!];
          squares[feature]! += value * value * hiddenSquares;
          chosen.factors[k] = (rate * value) / Math.sqrt(squares[feature]!);
        }
        moveRows(features[i]!, chosen, start, end, hiddenGradient);
      }
      start = end;
    }
    return loss;
  }

  /** Adds to each unit the largest value among the features chosen from `start` to `end`, times `share`. */
  #addLargest(view: number, start: number, end: number, share: number): void {
    const { hidden, features } = this.tower;
    const [table, winners, { starts }] = [features[view]!, this.#winners[view]!, this.#chosen];
    winners.fill(-1);
    if (start === end) return;
    const largest = this.#largest.fill(-Infinity);
    for (let k = start; k < end; k++) {
      const at = starts[k]!;
      for (let j = 0; j < hidden; j++) {
        const value = table[at + j]!;
        if (value <= largest[j]!) continue;
        largest[j] = value;
        winners[j] = k;
      }
    }
    for (let j = 0; j < hidden; j++) this.#sums[j]! += share * largest[j]!;
  }

  /** Only the largest feature contributed to a unit, so only that one is updated. */
  #learnLargest(view: number, share: number, active: number, rate: number): void {
    const { hidden, features } = this.tower;
    const [table, squares, winners] = [features[view]!, this.#featureSums[view]!, this.#winners[view]!];
    const [kept, { starts }, hiddenGradient] = [this.#kept, this.#chosen, this.#hiddenGradient];
    for (let q = 0; q < active; q++) {
      const k = winners[kept[q]!]!;
      if (k >= 0) squares[starts[k]! / hidden]! += (share * hiddenGradient[kept[q]!]!) ** 2 / hidden;
    }
    for (let q = 0; q < active; q++) {
      const [j, k] = [kept[q]!, winners[kept[q]!]!];
      if (k < 0) continue;
      const at = starts[k]!;
      table[at + j]! -= (rate * share * hiddenGradient[j]!) / Math.sqrt(squares[at / hidden]!);
    }
  }

  #grow(length: number): void {
    const { starts, factors } = this.#chosen;
    this.#chosen = { starts: new Int32Array(2 * length), factors: new Float32Array(2 * length) };
    this.#chosen.starts.set(starts);
    this.#chosen.factors.set(factors);
  }
}

/** `before` enlarged for more features and classes; learned weights keep their places. */
export function widenTower(before: Tower, sizes: readonly number[], classes: number, next: () => number): Tower {
  const { hidden } = before;
  const fresh = newTower(before.views, sizes, before, classes, next);
  before.features.forEach((table, i) => fresh.features[i]!.set(table));
  fresh.hiddenBias.set(before.hiddenBias);
  for (let j = 0; j < hidden; j++) {
    fresh.output.set(before.output.subarray(j * before.classes, (j + 1) * before.classes), j * classes);
  }
  fresh.outputBias.set(before.outputBias);
  return fresh;
}
