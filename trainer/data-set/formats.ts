/**
 * A data set in the formats of other tools. Texts survive each format unchanged. Files are generated row by row while
 * they are written.
 */
import { readFileSync } from 'node:fs';
import { CONFIG_FILE, CONTROLS, escape, withLabels } from '../../label-studio/labelling-config.ts';
import { labelName } from '../learning/classifier.ts';
import { split } from '../learning/split.ts';
import { canonicalLine } from './data-row.ts';
import type { DataRow } from './data-row.ts';
import type { Manifest } from './data-set.ts';

/** The formats of `samvad export`. */
export const formatNames = ['jsonl', 'hugging-face', 'rasa', 'spacy', 'label-studio'] as const;

/** A format of `samvad export`. */
export type FormatName = (typeof formatNames)[number];

/** Returns an iterable over all rows at each call. */
export type AllRows = () => Iterable<DataRow>;

/** The files of a format: name → text in pieces. */
export type Files = ReadonlyMap<string, Iterable<string>>;

/** The files of a format other than JSONL, which is a single file. */
export function filesOf(format: Exclude<FormatName, 'jsonl'>, rows: AllRows, manifest: Manifest): Files {
  switch (format) {
    case 'hugging-face':
      return huggingFace(rows, manifest);
    case 'rasa':
      return rasa(rows);
    case 'spacy':
      return new Map([['train.jsonl', each(rows, spacyLine)]]);
    case 'label-studio':
      return labelStudio(rows);
  }
}

/** Converts `offset` from UTF-16 code units to code points, as Python counts. */
function codePoints(text: string, offset: number): number {
  return Array.from(text.slice(0, offset)).length;
}

/**
 * A folder for `datasets.load_dataset`: one JSONL file per side of the split, and a dataset card that lists them.
 * https://huggingface.co/docs/hub/datasets-manual-configuration
 */
function huggingFace(rows: AllRows, manifest: Manifest): Files {
  const sides = sidesOf(rows);
  function* lines(side: number): Generator<string> {
    let at = 0;
    for (const row of rows()) if (sides[at++] === side) yield canonicalLine({ ...row, entities: pythonSpans(row) });
  }
  const card = `---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train.jsonl
  - split: validation
    path: data/validation.jsonl
  - split: test
    path: data/test.jsonl
---
# ${manifest.data_set}

${manifest.rows} approved samples, SHA-256 \`${manifest.sha256}\` of the canonical JSONL. Test rows are labelled by people; no text is on
two sides; repeats and empty texts are left out. Spans of entities count code points.
`;
  return new Map<string, Iterable<string>>([
    ['README.md', [card]],
    ['data/train.jsonl', lines(TRAIN)],
    ['data/validation.jsonl', lines(DEV)],
    ['data/test.jsonl', lines(TEST)],
  ]);
}

const [TRAIN, DEV, TEST] = [1, 2, 3];

/** The side of each row; 0 for dropped rows. */
function sidesOf(rows: AllRows): Uint8Array {
  const placed = Array.from(rows(), ({ text, intent, module, language, source }, at) => ({
    ...{ text, intent, module, language, source },
    at,
  }));
  const { train, dev, test } = split(placed);
  const sides = new Uint8Array(placed.length);
  for (const [side, all] of [
    [TRAIN, train],
    [DEV, dev],
    [TEST, test],
  ] as const)
    for (const { at } of all) sides[at] = side;
  return sides;
}

/**
 * NLU training data of Rasa 3: YAML with one block per intent. Rasa reads `[words](entity)` in a text as markup
 * without an escape, strips each example, and ends it at a line break. Texts with any of these, or with entities that
 * the markup can't express, go to a second file in Rasa's JSON format, where text and spans are separate. Examples are
 * held in memory, by intent. https://rasa.com/docs/rasa/training-data-format
 */
function rasa(rows: AllRows): Files {
  const examples = new Map<string, string[]>();
  let others = 0;
  for (const row of rows()) {
    if (!isPlainForRasa(row)) others++;
    else {
      const [intent, example] = [rasaIntent(row), `    - ${rasaText(row)}\n`];
      const known = examples.get(intent);
      if (known) known.push(example);
      else examples.set(intent, [example]);
    }
  }
  function* yaml(): Generator<string> {
    yield 'version: "3.1"\nnlu:\n';
    for (const intent of [...examples.keys()].sort()) {
      yield `- intent: ${JSON.stringify(intent)}\n  examples: |\n`;
      yield* examples.get(intent) ?? [];
    }
  }
  function* literal(): Generator<string> {
    yield '{"rasa_nlu_data": {"common_examples": [';
    yield* separated(rows, (row) => (isPlainForRasa(row) ? undefined : rasaExample(row)));
    yield ']}}\n';
  }
  return new Map<string, Iterable<string>>([
    ['nlu.yml', yaml()],
    ...(others > 0 ? ([['nlu-literal.json', literal()]] as const) : []),
  ]);
}

/**
 * Module and intent as one intent name: `food.track_order`. Rasa takes the part after a `/` as a response of the same
 * intent, and rejects a second one. Ambiguous characters are percent-encoded in both parts, so that each label has a
 * distinct name.
 */
function rasaIntent({ module, intent }: DataRow): string {
  const part = (name: string) =>
    name.replace(/[%./"\\\p{Cc}\u2028\u2029\ufeff]/gu, (char) =>
      [...Buffer.from(char)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
    );
  return `${part(module)}.${part(intent)}`;
}

function rasaExample(row: DataRow): object {
  const entities = pythonSpans(row).flatMap(({ name, value, start, end }) =>
    start === null || end === null ? [] : [{ entity: name, value, start, end }],
  );
  return { text: row.text, intent: rasaIntent(row), entities };
}

/** Characters of Rasa's markup, or that its reader decodes; Rasa has no escape for them. */
const MARKUP = /[[\](){}\\]|[\p{Cc}\u2028\u2029\ufeff]/u;

/** Whether Rasa's markup gives the text back unchanged. */
function isPlainForRasa(row: DataRow): boolean {
  const { text, entities } = row;
  const spans = placedSpans(row).sort((a, b) => a.start - b.start);
  return (
    spans.every(({ start, end }, i) => start >= (spans[i - 1]?.end ?? 0) && end > start) &&
    text === text.trim() &&
    text !== '' &&
    !MARKUP.test(text) &&
    !/^[-#]/u.test(text) &&
    entities.every(({ name }) => /^[\w-]+$/u.test(name)) &&
    spans.every(({ value }) => value !== '' && !value.includes('"') && !MARKUP.test(value))
  );
}

/** `[words](entity)`, or `[words]{"entity": …, "value": …}` when the value differs from the words. */
function rasaText(row: DataRow): string {
  const spans = placedSpans(row).sort((a, b) => b.start - a.start);
  return spans.reduce((marked, { name, value, start, end }) => {
    const words = marked.slice(start, end);
    const entity = words === value ? `(${name})` : `{"entity": "${name}", "value": "${value}"}`;
    return `${marked.slice(0, start)}[${words}]${entity}${marked.slice(end)}`;
  }, row.text);
}

/**
 * One document per line: text, categories and entity spans, for `Example.from_dict(nlp.make_doc(line["text"]), line)`.
 * Entities must not overlap there (E103): if they do, `entities` has the longest ones, and `spans` has all of them
 * under spaCy's default key. Only then, because a span that does not align with tokens is an error in `spans`, but only
 * a warning in `entities`.
 */
function spacyLine(row: DataRow): string {
  const spans = placedSpans({ ...row, entities: pythonSpans(row) });
  const apart = longestApart(spans);
  const written = (some: typeof spans) => some.map(({ start, end, name }) => [start, end, name]);
  const line = {
    text: row.text,
    cats: { [labelName(row)]: 1 },
    entities: written(apart),
    ...(apart.length < spans.length && { spans: { sc: written(spans) } }),
  };
  return `${JSON.stringify(line)}\n`;
}

/** The longest of `spans` that do not overlap, the first of equal ones; in their original order. */
function longestApart<S extends { readonly start: number; readonly end: number }>(spans: readonly S[]): S[] {
  const taken = new Set<S>();
  for (const span of spans.toSorted((a, b) => b.end - b.start - (a.end - a.start) || a.start - b.start))
    if ([...taken].every(({ start, end }) => span.end <= start || end <= span.start)) taken.add(span);
  return spans.filter((span) => taken.has(span));
}

/**
 * Tasks with their answers for a Samvad project, and a labelling configuration with the labels and entities of the
 * rows: Label Studio shows entities only if the project has a control for them. Like Samvad, it counts in UTF-16 code
 * units. https://labelstud.io/guide/tasks
 */
function labelStudio(rows: AllRows): Files {
  function* tasks(): Generator<string> {
    yield '[';
    yield* separated(rows, labelStudioTask);
    yield ']\n';
  }
  return new Map<string, Iterable<string>>([
    ['tasks.json', tasks()],
    ['label-config.xml', labellingConfig(rows)],
  ]);
}

/** The name of the control for entities. */
const ENTITIES = 'entities';

function labelStudioTask(row: DataRow): object {
  const { conversation_id, text, language, source, module, intent } = row;
  const spans = placedSpans(row).map(({ name, start, end }) => ({
    from_name: ENTITIES,
    to_name: CONTROLS.message,
    type: 'labels',
    value: { start, end, text: text.slice(start, end), labels: [name] },
  }));
  const label = {
    from_name: CONTROLS.label,
    to_name: CONTROLS.message,
    type: 'taxonomy',
    value: { taxonomy: [[module, intent]] },
  };
  return { data: { conversation_id, text, language, source }, annotations: [{ result: [label, ...spans] }] };
}

function* labellingConfig(rows: AllRows): Generator<string> {
  const labels = new Map<string, Set<string>>();
  const names = new Set<string>();
  for (const row of rows()) {
    const intents = labels.get(row.module) ?? new Set();
    labels.set(row.module, intents.add(row.intent));
    for (const { name } of placedSpans(row)) names.add(name);
  }
  const xml = readFileSync(CONFIG_FILE, 'utf8')
    .replace(/<!--[\s\S]*?-->\s*/, '')
    .replace(/ *<Header [^>]*\$predicted_[^>]*\/>\n/, ''); // the predictions for these rows are not known
  const config = withLabels(xml, labels) ?? xml;
  const choices = [...names].sort().map((name) => `    <Label value="${escape(name)}" />\n`);
  const control = `  <Labels name="${ENTITIES}" toName="${CONTROLS.message}">\n${choices.join('')}  </Labels>\n`;
  yield names.size === 0 ? config : config.replace('</View>', () => `${control}</View>`);
}

function* each(rows: AllRows, write: (row: DataRow) => string): Generator<string> {
  for (const row of rows()) yield write(row);
}

/** The items of a JSON array, one per line; rows for which `item` returns undefined are skipped. */
function* separated(rows: AllRows, item: (row: DataRow) => object | undefined): Generator<string> {
  let first = true;
  for (const row of rows()) {
    const made = item(row);
    if (made === undefined) continue;
    yield `${first ? '' : ','}\n${JSON.stringify(made)}`;
    first = false;
  }
  if (!first) yield '\n';
}

/** The entities that have a span in the text. */
function placedSpans({ entities }: Pick<DataRow, 'entities'>) {
  return entities.flatMap(({ name, value, start, end }) =>
    start === null || end === null ? [] : [{ name, value, start, end }],
  );
}

function pythonSpans({ text, entities }: DataRow): DataRow['entities'] {
  return entities.map((entity) => {
    const { start, end } = entity;
    return start === null || end === null
      ? entity
      : { ...entity, start: codePoints(text, start), end: codePoints(text, end) };
  });
}
