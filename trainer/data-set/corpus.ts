/** Reads labelled texts from a file with one JSON object per line: an export of this program or another corpus. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { redactText } from '../../policy/redaction.ts';
import { bytesOfFile } from '../../producers/file-bytes.ts';
import { linesOf } from '../../producers/lines.ts';
import type { Line } from '../../producers/lines.ts';
import { reasonOf } from '../../runtime/reason.ts';
import { OUT_OF_SCOPE } from '../learning/classifier.ts';
import type { Sample } from '../learning/split.ts';

/** The file is not a valid corpus. The message is a sentence for the person who named it. */
export class CorpusError extends Error {
  override readonly name = 'CorpusError';
}

/** The rows of a file, in order, and their manifest. */
export interface Corpus {
  readonly rows: readonly Sample[];
  readonly manifest: CorpusManifest;
}

/** The manifest in a model that was trained on a file. */
export interface CorpusManifest {
  readonly format: 'samvad-corpus-1';
  readonly file: string;
  /** SHA-256 of the uncompressed bytes. */
  readonly sha256: string;
  readonly rows: number;
  readonly by_module: Readonly<Record<string, number>>;
  readonly by_intent: Readonly<Record<string, number>>;
  readonly by_language: Readonly<Record<string, number>>;
}

/** Each field with its accepted names; the first is the name in exports. */
const NAMES = {
  text: ['text', 'user_message'],
  intent: ['intent'],
  module: ['module', 'module_type', 'domain'],
  language: ['language', 'lang'],
  id: ['id', 'translation_id'],
} as const;
/** Intents of other corpora that mean "none of these". */
const OUTSIDE = new Set(['oos', 'NO_NODES_DETECTED']);

/**
 * Reads a file; gzip if its name ends in `.gz`. `text` and `intent` are required; `module` defaults to `default`,
 * `language` to `und`, and `source` to `human`. Rows with the same `id` are translations of each other. Personal data
 * is masked, as in questions, and texts and labels are composed (NFC), as in a data set. Other fields are ignored.
 * @throws CorpusError naming the line and the field.
 */
export async function readCorpus(file: string): Promise<Corpus> {
  const rows: Sample[] = [];
  const hash = createHash('sha256');
  for await (const line of linesOfFile(file)) {
    hash.update(`${line.text ?? ''}${line.terminated ? '\n' : ''}`);
    if (line.text?.trim() !== '') rows.push(rowOf(line, path.basename(file)));
  }
  if (rows.length === 0) throw new CorpusError(`${path.basename(file)} has no lines.`);
  const count = (pick: (row: Sample) => string) => {
    const counts = new Map<string, number>();
    for (const name of rows.map(pick).sort()) counts.set(name, (counts.get(name) ?? 0) + 1);
    return Object.fromEntries(counts);
  };
  const manifest: CorpusManifest = {
    format: 'samvad-corpus-1',
    file: path.basename(file),
    sha256: hash.digest('hex'),
    rows: rows.length,
    by_module: count(({ module }) => module),
    by_intent: count(({ intent }) => intent),
    by_language: count(({ language }) => language),
  };
  return { rows, manifest };
}

function linesOfFile(file: string): AsyncIterable<Line> {
  return unreadable(file, linesOf(bytesOfFile(file)));
}

async function* unreadable(file: string, lines: AsyncIterable<Line>): AsyncGenerator<Line> {
  try {
    yield* lines;
  } catch (cause) {
    throw new CorpusError(`${file} can't be read: ${reasonOf(cause)}.`, {
      cause,
    });
  }
}

function rowOf({ number, text: line, problem }: Line, file: string): Sample {
  const wrong = (what: string) => new CorpusError(`Line ${number} of ${file}: ${what}`);
  if (line === undefined) throw wrong(problem);
  let parsed: unknown;
  try {
    parsed = JSON.parse(line) as unknown;
  } catch {
    throw wrong('it is not JSON.');
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw wrong('it is not a JSON object.');
  const fields = new Map<string, unknown>(Object.entries(parsed));
  const find = (field: keyof typeof NAMES) => {
    const name = NAMES[field].find((known) => fields.has(known)) ?? field;
    const value = fields.get(name) ?? undefined;
    if (value !== undefined && typeof value !== 'string' && !(field === 'id' && typeof value === 'number'))
      throw wrong(`${name} is not a string.`);
    return value === undefined ? undefined : String(value);
  };
  const [text, intent, id] = [find('text'), find('intent'), find('id')];
  if (text === undefined || intent === undefined) throw wrong(`it has no ${text === undefined ? 'text' : 'intent'}.`);
  return {
    text: redactText(text).normalize('NFC'),
    intent: OUTSIDE.has(intent) ? OUT_OF_SCOPE : intent.normalize('NFC'),
    module: (find('module') ?? 'default').normalize('NFC'),
    language: find('language') ?? 'und',
    source: fields.get('source') === 'auto' ? 'auto' : 'human',
    ...(id !== undefined && { translationId: id }),
  };
}
