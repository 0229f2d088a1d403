/** Splits rows into train, dev and test, so that no test text, not even a translation of it, is seen in training. */
import { textHash, unitHash } from '../../policy/hash.ts';
import { normalise } from '../../policy/review-priority.ts';

/** A labelled text. */
export interface Sample {
  readonly text: string;
  readonly intent: string;
  readonly module: string;
  readonly language: string;
  /** Who gave the label. Only labels from people are tested on. */
  readonly source: 'human' | 'auto';
  /**
   * The probability that a person was to be asked about it, above 0 to 1; absent or null when none was or it is not
   * known.
   */
  readonly reviewPropensity?: number | null;
  /** Rows with the same id are translations of each other. */
  readonly translationId?: string;
  /** An earlier version was trained on it; used by incremental training only. */
  readonly seen?: boolean;
}

/**
 * Shares of the sides, and a salt that changes only to draw a new, unseen test set (a new generation of the data set).
 */
export interface SplitOptions {
  readonly dev: number;
  readonly test: number;
  readonly salt: string;
}

/** A tenth for tests and a tenth for early stopping and calibration. */
export const defaultSplit: SplitOptions = { dev: 0.1, test: 0.1, salt: 'samvad-split-1' };

/** Why the split drops a row. */
export type DropReason = 'empty-text' | 'duplicate' | 'test-text-with-automatic-label' | 'contradicting-labels';

/**
 * Why a row is left out before or after the split: see `row-limit.ts`, `rolledBack` of a data set, and
 * `withoutTestTextsOfLog`.
 */
export type LeftReason = 'over-the-limit' | 'labelled-by-a-version-rolled-back' | 'test-text-of-the-log';

/** Numbers of dropped rows by reason. All reasons of the split are present. */
export type DropCounts = Readonly<Record<DropReason, number>> & Readonly<Partial<Record<LeftReason, number>>>;

/** The three sides, and how many rows are in none. */
export interface Split<S extends Sample> {
  readonly train: readonly S[];
  readonly dev: readonly S[];
  readonly test: readonly S[];
  readonly dropCounts: DropCounts;
}

/**
 * Splits by the hash of a group. Rows with equal normalised text or equal translation id, directly or through others,
 * form a group and stay together. The side of a row depends on its group only, so more data moves a text only when it
 * joins two groups. Order is kept.
 *
 * Dropped are: texts of only spaces and symbols; exact repeats (same text, label and language), of which a human one
 * stays; in test, rows that no person labelled, and texts that people labelled differently.
 */
export function split<S extends Sample>(rows: readonly S[], options: SplitOptions = defaultSplit): Split<S> {
  const sides = { train: [] as S[], dev: [] as S[], test: [] as S[] };
  const dropCounts = { 'empty-text': 0, duplicate: 0, 'test-text-with-automatic-label': 0, 'contradicting-labels': 0 };
  const groups = groupsOf(rows);
  const disputed = disputedTexts(rows);
  const repeats = repeatsOf(rows);
  rows.forEach((row, i) => {
    const side = sideOf(groups[i] ?? '', options);
    const reason = dropReason(row, side, repeats.has(i), disputed);
    if (reason) dropCounts[reason]++;
    else sides[side].push(row);
  });
  return { ...sides, dropCounts };
}

/**
 * The sides of a file without training and dev rows whose texts are test rows in the log. In the log no row has a
 * translation id, so a text that is trained on here together with its translations could be a test row there, for this
 * version and all that go on from it.
 */
export function withoutTestTextsOfLog<S extends Sample>(sides: Split<S>): Split<S> {
  const isTested = ({ text }: S) => sideOf(textKey(text), defaultSplit) === 'test';
  const left = [...sides.train, ...sides.dev].filter(isTested).length;
  return {
    train: sides.train.filter((row) => !isTested(row)),
    dev: sides.dev.filter((row) => !isTested(row)),
    test: sides.test,
    dropCounts: { ...sides.dropCounts, 'test-text-of-the-log': left },
  };
}

/** The group key of a text without translations. */
function textKey(text: string): string {
  return `text ${textHash(normalise(text))}`;
}

function sideOf(group: string, { dev, test, salt }: SplitOptions): 'train' | 'dev' | 'test' {
  const place = unitHash(`${salt}/${group}`);
  if (place < test) return 'test';
  return place < test + dev ? 'dev' : 'train';
}

function dropReason(
  row: Sample,
  side: 'train' | 'dev' | 'test',
  repeated: boolean,
  disputed: ReadonlySet<string>,
): DropReason | undefined {
  const text = normalise(row.text);
  if (text === '') return 'empty-text';
  if (repeated) return 'duplicate';
  if (side !== 'test') return undefined;
  if (row.source !== 'human') return 'test-text-with-automatic-label';
  return disputed.has(text) ? 'contradicting-labels' : undefined;
}

/** Indices of repeated rows: of equal rows the first human one stays, otherwise the first. */
function repeatsOf(rows: readonly Sample[]): ReadonlySet<number> {
  const best = new Map<string, number>();
  const repeats = new Set<number>();
  rows.forEach((row, i) => {
    const key = JSON.stringify([row.text.normalize('NFC'), row.language, row.module, row.intent]);
    const before = best.get(key);
    if (before === undefined) return best.set(key, i);
    const better = row.source === 'human' && rows[before]?.source !== 'human';
    repeats.add(better ? before : i);
    if (better) best.set(key, i);
    return best;
  });
  return repeats;
}

/** Normalised texts that people labelled in more than one way. */
function disputedTexts(rows: readonly Sample[]): ReadonlySet<string> {
  const labels = new Map<string, string>();
  const disputed = new Set<string>();
  for (const row of rows) {
    if (row.source !== 'human') continue;
    const [text, label] = [normalise(row.text), JSON.stringify([row.module, row.intent])];
    if ((labels.get(text) ?? label) !== label) disputed.add(text);
    labels.set(text, label);
  }
  return disputed;
}

/** A name for each row's group: the hash of the least of the texts in it, so that it does not depend on order. */
function groupsOf(rows: readonly Sample[]): readonly string[] {
  const parent = new Map<string, string>();
  const find = (key: string): string => {
    let root = key;
    for (let up = parent.get(root); up !== undefined; up = parent.get(root)) root = up;
    for (let at = key; at !== root;) {
      const up = parent.get(at) ?? root;
      parent.set(at, root);
      at = up;
    }
    return root;
  };
  const texts = rows.map(({ text }) => textKey(text));
  rows.forEach((row, i) => {
    if (row.translationId === undefined) return;
    const [a, b] = [find(texts[i] ?? ''), find(`id ${row.translationId}`)];
    if (a === b) return;
    // The smaller text is the root. Translation ids never are: 'id …' sorts before 'text …', so an id becomes the
    // child.
    const [root, child] = rootFirst(a, b);
    parent.set(child, root);
  });
  return texts.map(find);
}

function rootFirst(a: string, b: string): readonly [string, string] {
  const aIsText = a.startsWith('text ');
  if (aIsText !== b.startsWith('text ')) return aIsText ? [a, b] : [b, a];
  return a < b ? [a, b] : [b, a];
}
