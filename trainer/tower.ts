/**
 * One member of the classifier: texts → weighted features → hidden layer → intents, and how it learns from one text.
 * The first layer is an embedding of features, summed, as in fastText (Joulin et al. 2016, arXiv:1607.01759), or pooled by
 * the largest number of each unit, as in Collobert et al. 2011, section 3.3: a sum hears a word as one among many, a maximum hears it alone.
 * Some towers have a rectifier behind it. Indexed by numbers throughout: this is the loop in which the time of training is spent.
 */
/* eslint-disable @typescript-eslint/no-non-null-assertion -- indices are in range by construction; checks would cost time */
import type { Rows } from './encoder.ts';

/** The weights of a tower over some views, with `hidden` units and `classes` outputs. */
export interface Tower {
  readonly views: readonly number[];
  readonly hidden: number;
  /**
   * How the embeddings of a text's features become one number a unit: their sum, each by its weight, or the largest, whatever
   * they weigh. Where a text has no known feature, both are 0. Over several views, the views are added.
   */
  readonly pooling: 'sum' | 'max';
  /** Whether hidden units below zero count as zero; without that the tower is linear. */
  readonly rectified: boolean;
  readonly classes: number;
  /** For each of `views`: features × hidden, row by row. */
  readonly features: readonly Float32Array[];
  readonly hiddenBias: Float32Array;
  /** hidden × classes, row by row. */
  readonly output: Float32Array;
  readonly outputBias: Float32Array;
}

/** What is left out and smoothed while learning. */
export interface LearningRates {
  /** Share of a text's features left out at random, so that no single one is relied upon. */
  readonly featureDropout: number;
  /** Share of hidden units left out at random (Srivastava et al. 2014). */
  readonly hiddenDropout: number;
  /** Share of the target that is spread over all intents (Szegedy et al. 2016, section 7). */
  readonly smoothing: number;
  /** How much of what one intent learns goes to those that share a word of their name; see `TowerLearner`. */
  readonly nameSharing: number;
}

/** A tower before it has seen anything: small embeddings, so that rare features do not start out as noise. */
export function newTower(
  views: readonly number[],
  sizes: readonly number[],
  { hidden, pooling, rectified }: Pick<Tower, 'hidden' | 'pooling' | 'rectified'>,
  classes: number,
  next: () => number,
): Tower {
  // A loop, because the callback of Float32Array.from took a tenth of a short run's time.
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

/** Scores of every intent for each row, rows × classes. */
export function scores(tower: Tower, views: readonly Rows[]): Float32Array {
  const { hidden, pooling, rectified, classes, hiddenBias, output, outputBias } = tower;
  const rows = (views[0]?.starts.length ?? 1) - 1;
  const result = new Float32Array(rows * classes);
  const [sums, largest] = [new Float32Array(hidden), new Float32Array(hidden)];
  const share = 1 / Math.sqrt(tower.views.length);
  for (let r = 0; r < rows; r++) {
    sums.set(hiddenBias);
    for (const [i, view] of tower.views.entries()) {
      const { starts, indices, values } = views[view]!;
      const features = tower.features[i]!;
      const [from, to] = [starts[r]!, starts[r + 1]!];
      if (pooling === 'max' && from < to) {
        largest.fill(-Infinity);
        for (let k = from; k < to; k++) {
          const at = indices[k]! * hidden;
          for (let j = 0; j < hidden; j++) if (features[at + j]! > largest[j]!) largest[j] = features[at + j]!;
        }
        for (let j = 0; j < hidden; j++) sums[j]! += share * largest[j]!;
      } else {
        for (let k = from; k < to; k++) {
          const [at, value] = [indices[k]! * hidden, values[k]! * share];
          for (let j = 0; j < hidden; j++) sums[j]! += value * features[at + j]!;
        }
      }
    }
    const out = result.subarray(r * classes, (r + 1) * classes);
    out.set(outputBias);
    for (let j = 0; j < hidden; j++) {
      const unit = sums[j]!;
      if (rectified && unit <= 0) continue;
      const at = j * classes;
      for (let c = 0; c < classes; c++) out[c]! += unit * output[at + c]!;
    }
  }
  return result;
}

/**
 * Learns one text at a time.
 *
 * The output weights of an intent are its own vector plus √s times that of each of its `relatives`: groups of intents, one a
 * word of their names. As everything is linear, only the sum is kept: a step of gradient descent on all of these vectors moves
 * it by the intent's own gradient plus s = `nameSharing` times the sum of the gradients of each group that it is in.
 */
export class TowerLearner {
  readonly tower: Tower;
  readonly #rates: LearningRates;
  readonly #next: () => number;
  readonly #relatives: readonly Int32Array[];
  /**
   * Sums of squared gradients (AdaGrad, Duchi et al. 2011), one for a whole row of weights: one square root a row, not
   * a weight. They start at what a few gradients add, so that the first sight of a rare feature moves it little.
   */
  readonly #featureSums: readonly Float32Array[];
  readonly #unitSums: Float32Array;
  readonly #biasSums: Float32Array;
  #hiddenBiasSum = 1e-8;
  readonly #kept: Int32Array;
  readonly #sums: Float32Array;
  readonly #gradient: Float32Array;
  readonly #shared: Float32Array;
  readonly #hiddenGradient: Float32Array;
  /** With maxima: for each view and unit, the place among the chosen features of the one that was largest; −1 for none. */
  readonly #winners: readonly Int32Array[];
  readonly #largest: Float32Array;
  #chosen = new Int32Array(1024);
  #weights = new Float32Array(1024);

  constructor(tower: Tower, rates: LearningRates, next: () => number, relatives: readonly Int32Array[] = []) {
    this.tower = tower;
    this.#rates = rates;
    this.#next = next;
    this.#relatives = relatives;
    this.#featureSums = tower.features.map((f) => new Float32Array(f.length / tower.hidden).fill(1e-4));
    this.#unitSums = new Float32Array(tower.hidden).fill(1e-3);
    this.#biasSums = new Float32Array(tower.classes).fill(1e-8);
    this.#kept = new Int32Array(tower.hidden);
    this.#sums = new Float32Array(tower.hidden);
    this.#gradient = new Float32Array(tower.classes);
    this.#shared = new Float32Array(tower.classes);
    this.#hiddenGradient = new Float32Array(tower.hidden);
    this.#winners = tower.views.map(() => new Int32Array(tower.hidden));
    this.#largest = new Float32Array(tower.hidden);
  }

  /** Learns that row `row` of `views` is of class `label`. Returns the loss before. */
  learn(views: readonly Rows[], row: number, label: number, weight: number, rate: number): number {
    const { hidden, pooling, rectified, classes, features, hiddenBias, output, outputBias } = this.tower;
    const { featureDropout, hiddenDropout, smoothing, nameSharing } = this.#rates;
    const [kept, sums, gradient, hiddenGradient] = [this.#kept, this.#sums, this.#gradient, this.#hiddenGradient];
    const shared = this.#shared;
    const next = this.#next;

    // 1. Hidden units that take part this time, and their sums over the features that do.
    let units = 0;
    for (let j = 0; j < hidden; j++) if (next() >= hiddenDropout) kept[units++] = j;
    for (let q = 0; q < units; q++) sums[q] = hiddenBias[kept[q]!]!;
    // What is left out takes its part from a sum, not from a maximum.
    const share = 1 / Math.sqrt(this.tower.views.length) / (pooling === 'max' ? 1 : 1 - featureDropout);
    let length = 0;
    const ends: number[] = [];
    for (const [i, view] of this.tower.views.entries()) {
      const { starts, indices, values } = views[view]!;
      const table = features[i]!;
      const [from, to] = [starts[row]!, starts[row + 1]!];
      if (length + to - from > this.#chosen.length) this.#grow(length + to - from);
      const [chosen, weights] = [this.#chosen, this.#weights];
      const start = length;
      for (let k = from; k < to; k++) {
        if (next() < featureDropout) continue;
        chosen[length] = indices[k]!;
        weights[length++] = values[k]! * share;
      }
      if (pooling === 'max') this.#addLargest(i, start, length, units, share);
      else
        for (let k = start; k < length; k++) {
          const [at, value] = [chosen[k]! * hidden, weights[k]!];
          for (let q = 0; q < units; q++) sums[q]! += value * table[at + kept[q]!]!;
        }
      ends.push(length);
    }

    // 2. Rectifier, where there is one: only units above zero have a part in what follows.
    const scale = 1 / (1 - hiddenDropout);
    let active = 0;
    for (let q = 0; q < units; q++) {
      if (rectified && sums[q]! <= 0) continue;
      kept[active] = kept[q]!;
      sums[active++] = sums[q]! * scale;
    }

    // 3. Probabilities and the gradient of the cross entropy.
    gradient.set(outputBias);
    for (let q = 0; q < active; q++) {
      const unit = sums[q]!;
      const at = kept[q]! * classes;
      for (let c = 0; c < classes; c++) gradient[c]! += unit * output[at + c]!;
    }
    let top = -Infinity;
    for (let c = 0; c < classes; c++) if (gradient[c]! > top) top = gradient[c]!;
    let total = 0;
    for (let c = 0; c < classes; c++) total += gradient[c] = Math.exp(gradient[c]! - top);
    const loss = -Math.log(gradient[label]! / total + 1e-30);
    let outputSquares = 0;
    for (let c = 0; c < classes; c++) {
      const g = weight * (gradient[c]! / total - smoothing / classes - (c === label ? 1 - smoothing : 0));
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

    // 4. Output layer, and back through it.
    let hiddenSquares = 0;
    for (let q = 0; q < active; q++) {
      const [unit, j] = [sums[q]!, kept[q]!];
      const at = j * classes;
      this.#unitSums[j]! += unit * unit * outputSquares;
      const step = (rate * unit) / Math.sqrt(this.#unitSums[j]!);
      let back = 0;
      for (let c = 0; c < classes; c++) {
        const w = output[at + c]!;
        back += gradient[c]! * w;
        output[at + c] = w - step * shared[c]!;
      }
      back *= scale;
      hiddenGradient[q] = back;
      hiddenSquares += back * back;
    }
    hiddenSquares /= hidden;

    // 5. Features and hidden biases.
    this.#hiddenBiasSum += hiddenSquares;
    const biasStep = rate / Math.sqrt(this.#hiddenBiasSum);
    for (let q = 0; q < active; q++) hiddenBias[kept[q]!]! -= biasStep * hiddenGradient[q]!;
    const [chosen, weights] = [this.#chosen, this.#weights];
    let k = 0;
    for (const [i, end] of ends.entries()) {
      const [table, squares] = [features[i]!, this.#featureSums[i]!];
      if (pooling === 'max') this.#learnLargest(i, share, active, rate);
      else
        for (; k < end; k++) {
          const feature = chosen[k]!;
          const value = weights[k]!;
          squares[feature]! += value * value * hiddenSquares;
          const step = (rate * value) / Math.sqrt(squares[feature]!);
          const at = feature * hidden;
          for (let q = 0; q < active; q++) table[at + kept[q]!]! -= step * hiddenGradient[q]!;
        }
    }
    return loss;
  }

  /** Adds to the sum of each unit that takes part the largest number, times `share`, of the features chosen from `start` to `end`. */
  #addLargest(view: number, start: number, end: number, units: number, share: number): void {
    const { hidden, features } = this.tower;
    const [table, winners, kept, chosen] = [features[view]!, this.#winners[view]!, this.#kept, this.#chosen];
    winners.fill(-1);
    if (start === end) return;
    const largest = this.#largest.fill(-Infinity);
    for (let k = start; k < end; k++) {
      const at = chosen[k]! * hidden;
      for (let q = 0; q < units; q++) {
        const value = table[at + kept[q]!]!;
        if (value <= largest[q]!) continue;
        largest[q] = value;
        winners[kept[q]!] = k;
      }
    }
    for (let q = 0; q < units; q++) this.#sums[q]! += share * largest[q]!;
  }

  /** Only what was largest had a part in a unit, so only that moves. */
  #learnLargest(view: number, share: number, active: number, rate: number): void {
    const { hidden, features } = this.tower;
    const [table, squares, winners] = [features[view]!, this.#featureSums[view]!, this.#winners[view]!];
    const [kept, chosen, hiddenGradient] = [this.#kept, this.#chosen, this.#hiddenGradient];
    for (let q = 0; q < active; q++) {
      const k = winners[kept[q]!]!;
      if (k >= 0) squares[chosen[k]!]! += (share * hiddenGradient[q]!) ** 2 / hidden;
    }
    for (let q = 0; q < active; q++) {
      const k = winners[kept[q]!]!;
      if (k < 0) continue;
      const feature = chosen[k]!;
      table[feature * hidden + kept[q]!]! -= (rate * share * hiddenGradient[q]!) / Math.sqrt(squares[feature]!);
    }
  }

  #grow(length: number): void {
    const [chosen, weights] = [new Int32Array(2 * length), new Float32Array(2 * length)];
    chosen.set(this.#chosen);
    weights.set(this.#weights);
    this.#chosen = chosen;
    this.#weights = weights;
  }
}

/** `before` with room for more features and classes; what it learned stays where it was. */
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
