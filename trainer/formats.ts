/** A data set in the formats that other tools read. Texts come out of each as they went in. */
import { labelName } from './classifier.ts';
import { canonicalLine } from './data-row.ts';
import type { DataRow } from './data-row.ts';
import { split } from './split.ts';
import type { Manifest } from './data-set.ts';

/** Formats of `samvad export`. */
export const formatNames = ['jsonl', 'hugging-face', 'rasa', 'spacy', 'label-studio'] as const;

/** A format of `samvad export`. */
export type FormatName = (typeof formatNames)[number];

/** The files of a format by name, for all but JSONL, which is one file and is written row by row. */
export function filesOf(
  format: Exclude<FormatName, 'jsonl'>,
  rows: readonly DataRow[],
  manifest: Manifest,
): ReadonlyMap<string, string> {
  switch (format) {
    case 'hugging-face':
      return huggingFace(rows, manifest);
    case 'rasa':
      return rasa(rows);
    case 'spacy':
      return new Map([['train.jsonl', rows.map(spacyLine).join('')]]);
    case 'label-studio':
      return new Map([['tasks.json', `${JSON.stringify(rows.map(labelStudioTask), undefined, 1)}\n`]]);
  }
}

/** Place of `offset`, in UTF-16 code units, counted in code points, as Python counts. */
export function codePoints(text: string, offset: number): number {
  return Array.from(text.slice(0, offset)).length;
}

/**
 * A folder that `datasets.load_dataset` reads: a JSONL file for each side of the split, and a card that names them.
 * https://huggingface.co/docs/hub/datasets-manual-configuration
 */
function huggingFace(rows: readonly DataRow[], manifest: Manifest): ReadonlyMap<string, string> {
  const sides = split(rows);
  const lines = (side: readonly DataRow[]) =>
    side.map((row) => canonicalLine({ ...row, entities: pythonSpans(row) })).join('');
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
  return new Map([
    ['README.md', card],
    ['data/train.jsonl', lines(sides.train)],
    ['data/validation.jsonl', lines(sides.dev)],
    ['data/test.jsonl', lines(sides.test)],
  ]);
}

/**
 * NLU training data of Rasa 3: YAML with one block for each intent. Rasa reads \`[words](entity)\` in a text as markup and
 * has no escape for it, strips each example and ends it at a line break, so a text with any of these, and one with entities
 * that its markup can't hold, goes to a second file in Rasa's JSON, where text and spans are apart.
 * https://rasa.com/docs/rasa/training-data-format
 */
function rasa(rows: readonly DataRow[]): ReadonlyMap<string, string> {
  const plain = rows.filter(isPlainForRasa);
  const others = rows.filter((row) => !isPlainForRasa(row));
  const intents = [...new Set(plain.map(labelName))].sort();
  const yaml = intents.map((intent) => {
    const examples = plain.filter((row) => labelName(row) === intent).map((row) => `    - ${rasaText(row)}\n`);
    return `- intent: ${JSON.stringify(intent)}\n  examples: |\n${examples.join('')}`;
  });
  const files = new Map([['nlu.yml', `version: "3.1"\nnlu:\n${yaml.join('')}`]]);
  if (others.length > 0) {
    const common_examples = others.map((row) => ({
      text: row.text,
      intent: labelName(row),
      entities: pythonSpans(row).flatMap(({ name, value, start, end }) =>
        start === null || end === null ? [] : [{ entity: name, value, start, end }],
      ),
    }));
    files.set('nlu-literal.json', `${JSON.stringify({ rasa_nlu_data: { common_examples } }, undefined, 1)}\n`);
  }
  return files;
}

/** Whether Rasa's own markup gives the text back unchanged. */
function isPlainForRasa({ text, entities }: DataRow): boolean {
  const spans = entities.filter(({ start }) => start !== null).sort((a, b) => (a.start ?? 0) - (b.start ?? 0));
  const apart = spans.every(({ start }, i) => (start ?? 0) >= (spans[i - 1]?.end ?? 0));
  return (
    apart &&
    text === text.trim() &&
    text !== '' &&
    !/[[\](){}\n\r\u0085\u2028\u2029\\]|^[-#]/u.test(text) &&
    !/[\p{Cc}\ufeff]/u.test(text) &&
    entities.every(({ name }) => /^[\w-]+$/u.test(name))
  );
}

function rasaText({ text, entities }: DataRow): string {
  const spans = entities
    .flatMap(({ name, start, end }) => (start === null || end === null ? [] : [{ name, start, end }]))
    .sort((a, b) => b.start - a.start);
  return spans.reduce(
    (marked, { name, start, end }) =>
      `${marked.slice(0, start)}[${marked.slice(start, end)}](${name})${marked.slice(end)}`,
    text,
  );
}

/** One document a line, as spaCy's `nlp.make_doc` and `Example.from_dict` take them: text, categories, entity spans. */
function spacyLine(row: DataRow): string {
  const entities = pythonSpans(row).flatMap(({ name, start, end }) =>
    start === null || end === null ? [] : [[start, end, name]],
  );
  return `${JSON.stringify({ text: row.text, cats: { [labelName(row)]: 1 }, entities })}\n`;
}

/** A task with its answer. Label Studio counts UTF-16 code units, as we do. https://labelstud.io/guide/tasks */
function labelStudioTask({ conversation_id, text, language, intent, module, entities, source }: DataRow): object {
  const choice = (from_name: string, label: string) => ({
    from_name,
    to_name: 'text',
    type: 'choices',
    value: { choices: [label] },
  });
  const spans = entities.flatMap(({ name, value, start, end }) =>
    start === null || end === null
      ? []
      : [
          {
            from_name: 'entities',
            to_name: 'text',
            type: 'labels',
            value: { start, end, text: value, labels: [name] },
          },
        ],
  );
  return {
    data: { conversation_id, text, language, source },
    annotations: [{ result: [choice('intent', intent), choice('module', module), ...spans] }],
  };
}

function pythonSpans({ text, entities }: DataRow): DataRow['entities'] {
  return entities.map((entity) => {
    const { start, end } = entity;
    return start === null || end === null
      ? entity
      : { ...entity, start: codePoints(text, start), end: codePoints(text, end) };
  });
}
