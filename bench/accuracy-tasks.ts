/** The tasks of `npm run bench:accuracy`: the training and test rows of each data set. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { OUT_OF_SCOPE } from '../trainer/learning/classifier.ts';
import { random, shuffled } from '../trainer/learning/random.ts';
import type { Sample } from '../trainer/learning/split.ts';

/** The rows of one model. */
export interface Part {
  readonly train: readonly Sample[];
  readonly dev: readonly Sample[];
  readonly test: readonly Sample[];
}

/** A task. Each part trains its own model; the test rows of all parts are evaluated together. */
export interface Task {
  readonly name: string;
  /** Linear SVM on TF-IDF, from shared/data/README.md, in percent. */
  readonly baseline: number;
  readonly aim: number;
  readonly parts: (seed: number) => readonly Part[];
}

interface Line {
  readonly id: string;
  readonly lang: string;
  readonly domain: string;
  readonly intent: string;
  readonly text: string;
  readonly split: 'train' | 'dev' | 'test';
}

/** The folder of the data sets. @throws an error with its path when it does not exist. */
export function dataFolder(): string {
  const folder = path.resolve(process.env['SAMVAD_DATA'] ?? '../shared/data');
  if (!existsSync(folder))
    throw new Error(`The data sets are not in ${folder}. Set SAMVAD_DATA to the folder that holds them.`);
  return folder;
}

/** The names of out-of-scope rows in the sets. */
const OUTSIDE = new Set(['oos', 'NO_NODES_DETECTED']);

function read(set: string): readonly Line[] {
  const file = path.join(dataFolder(), set, 'data.jsonl.gz');
  if (!existsSync(file)) throw new Error(`The data set ${set} is not at ${file}.`);
  const lines = gunzipSync(readFileSync(file)).toString('utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line) as Line);
}

function samples(lines: readonly Line[], split: Line['split'], language?: string): readonly Sample[] {
  return lines
    .filter((line) => line.split === split && (language === undefined || line.lang === language))
    .map((line) => ({
      text: line.text,
      intent: OUTSIDE.has(line.intent) ? OUT_OF_SCOPE : line.intent,
      module: line.domain,
      language: line.lang,
      source: 'human',
      translationId: line.id,
    }));
}

/** All rows of a set. */
export function whole(set: string, language?: string): Part {
  const lines = read(set);
  const [train, dev, test] = [
    samples(lines, 'train', language),
    samples(lines, 'dev', language),
    samples(lines, 'test', language),
  ];
  return { train, dev, test };
}

/** `count` rows of each intent, drawn by seed. */
function few(rows: readonly Sample[], count: number, seed: number): readonly Sample[] {
  const taken = new Map<string, number>();
  return shuffled(rows, random(seed)).filter(({ intent }) => {
    const before = taken.get(intent) ?? 0;
    if (before < count) taken.set(intent, before + 1);
    return before < count;
  });
}

const LANGUAGES = ['en', 'hi', 'bn', 'ta', 'te', 'ml', 'kn', 'ur'];

/** All tasks. */
export const tasks: readonly Task[] = [
  { name: 'hint3-sofmattress', baseline: 76.3, aim: 77, parts: () => [whole('hint3-sofmattress')] },
  {
    name: 'sib200',
    baseline: 71.1,
    aim: 73,
    parts: () => LANGUAGES.map((language) => whole('sib200-indic', language)),
  },
  {
    name: 'banking77-10',
    baseline: 73.2,
    aim: 76,
    parts: (seed) => {
      const { train, dev, test } = whole('banking77');
      return [{ train: few(train, 10, seed), dev, test }];
    },
  },
  { name: 'hwu64', baseline: 88.5, aim: 89.5, parts: () => [whole('hwu64')] },
  { name: 'banking77', baseline: 91.4, aim: 92, parts: () => [whole('banking77')] },
  { name: 'clinc150', baseline: 92.7, aim: 93.5, parts: () => [whole('clinc150')] },
];
