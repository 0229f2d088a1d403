/**
 * A data set in the formats that other tools read. Texts come out of each as they went in. What a file holds is made row by row, as it
 * is written.
 */
import { readFileSync } from 'node:fs';
import { CONFIG_FILE, CONTROLS, escape, withLabels } from '../../label-studio/labelling-config.ts';
import { labelName } from '../learning/classifier.ts';
import { split } from '../learning/split.ts';
import { canonicalLine } from './data-row.ts';
import type { DataRow } from './data-row.ts';
import type { Manifest } from './data-set.ts';

/** Formats of `samvad export`. */
export const formatNames = ['jsonl', 'hugging-face', 'rasa', 'spacy', 'label-studio'] as const;

/** A format of `samvad export`. */
export type FormatName = (typeof formatNames)[number];

/** Gives all rows, each time that it is called. */
export type AllRows = () => Iterable<DataRow>;

/** The files of a format: of each its name and its text, in pieces. */
export type Files = ReadonlyMap<string, Iterable<string>>;

/** The files of a format, for all but JSONL, which is one file. */
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

/** Place of `offset`, in UTF-16 code units, counted in code points, as Python counts. */
function codePoints(text: string, offset: number): number {
  return Array.from(text.slice(0, offset)).length;
}

/**
 * A folder that `datasets.load_dataset` reads: a JSONL file for each side of the split, and a card that names them.
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

/** For each row its side; 0 for those on none. */
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
 * NLU training data of Rasa 3: YAML with one block for each intent. Rasa reads \`[words](entity)\` in a text as markup and
 * has no escape for it, strips each example and ends it at a line break, so a text with any of these, and one with entities
 * that its markup can't hold, goes to a second file in Rasa's JSON, where text and spans are apart. Examples are held in memory, by intent.
 * https://rasa.com/docs/rasa/training-data-format
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
 * Module and intent as the name of one intent: `food.track_order`. Rasa takes what is behind a `/` for a response to one and the same
 * intent, and refuses a second one. What would be read otherwise is percent-encoded in either part, so each label has a name of its own.
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

/** Characters that Rasa's markup is made of, or that its reader decodes: it has an escape for none. */
const MARKUP = /[[\](){}\\]|[\p{Cc}\u2028\u2029\ufeff]/u;

/** Whether Rasa's own markup gives the text back unchanged. */
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

/** `[words](entity)`, and `[words]{"entity": …, "value": …}` where the value is another than the words. */
function rasaText(row: DataRow): string {
  const spans = placedSpans(row).sort((a, b) => b.start - a.start);
  return spans.reduce((marked, { name, value, start, end }) => {
    const words = marked.slice(start, end);
    const entity = words === value ? `(${name})` : `{"entity": "${name}", "value": "${value}"}`;
    return `${marked.slice(0, start)}[${words}]${entity}${marked.slice(end)}`;
  }, row.text);
}

/**
 * One document a line: text, categories, entity spans, for `Example.from_dict(nlp.make_doc(line["text"]), line)`. Entities must not
 * overlap there (E103): where they do, `entities` has the longest, and `spans` all of them, under spaCy's usual key. Only there, because
 * a span in `spans` that does not end where a token does is an error, and one in `entities` a warning.
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

/** The longest of `spans` that do not overlap, of equal ones the first; in their order. */
function longestApart<S extends { readonly start: number; readonly end: number }>(spans: readonly S[]): S[] {
  const taken = new Set<S>();
  for (const span of spans.toSorted((a, b) => b.end - b.start - (a.end - a.start) || a.start - b.start))
    if ([...taken].every(({ start, end }) => span.end <= start || end <= span.start)) taken.add(span);
  return spans.filter((span) => taken.has(span));
}

/**
 * Tasks with their answers for a project of Samvad's, and its labelling configuration with the labels and entities of the rows: Label
 * Studio shows no entities where the project has no control for them. It counts UTF-16 code units, as we do.
 * https://labelstud.io/guide/tasks
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

/** The name of the control that holds entities. */
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
    .replace(/ *<Header [^>]*\$predicted_[^>]*\/>\n/, ''); // of these rows nobody knows what a model said
  const config = withLabels(xml, labels) ?? xml;
  const choices = [...names].sort().map((name) => `    <Label value="${escape(name)}" />\n`);
  const control = `  <Labels name="${ENTITIES}" toName="${CONTROLS.message}">\n${choices.join('')}  </Labels>\n`;
  yield names.size === 0 ? config : config.replace('</View>', () => `${control}</View>`);
}

function* each(rows: AllRows, write: (row: DataRow) => string): Generator<string> {
  for (const row of rows()) yield write(row);
}

/** Items of a JSON array, a line each; none for a row of which `item` makes nothing. */
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

/** The entities that have a place in the text. */
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
