/**
 * An external trainer for tests, which counts words: `external-trainer.ts MODE --train F --dev F --manifest F --output F`.
 * Its file is as another program would write it: a graph of its own on token ids, with the tokenizer in the metadata.
 */
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { tokens } from '../../trainer/learning/hashed-ngrams.ts';
import { modelFields } from '../../trainer/learning/onnx-schema.ts';
import { message } from '../../trainer/learning/protobuf.ts';
import type { Sample } from '../../trainer/learning/split.ts';
import { tinyTokenizer, tinyTokenizerConfig } from './tiny-encoder.ts';

const [mode = 'good'] = process.argv.slice(2);
const file = { type: 'string', default: '' } as const;
const { values } = parseArgs({
  args: process.argv.slice(3),
  options: { train: file, dev: file, manifest: file, output: file },
});
if (mode === 'fails') {
  process.stderr.write('loading\nno GPU here\n');
  process.exit(3);
}
if (mode === 'hangs') {
  // With a child process, such as a data loader.
  const worker = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)'], { stdio: 'inherit' });
  process.stderr.write(`worker ${worker.pid ?? ''}\n`);
  await sleep(60_000);
}
if (mode === 'foreign') writeFileSync(values.output, 'no model');
else if (mode !== 'silent') {
  const rows = readFileSync(values.train, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Sample);
  const names = [...new Set(rows.map((row) => `${row.module}/${row.intent}`))].slice(mode === 'forgets' ? 1 : 0);
  if (mode === 'brings') names.push('food/new?');
  const labels = names.map((name) => ({ module: name.split('/')[0], intent: name.split('/')[1] }));
  const words = [...new Set(rows.flatMap(({ text }) => tokens(text))), 'pqxz'];
  const table = new Float32Array((words.length + 2) * names.length);
  for (const row of rows)
    for (const word of tokens(row.text)) {
      const at = (words.indexOf(word) + 2) * names.length + names.indexOf(`${row.module}/${row.intent}`);
      table[at] = (table[at] ?? 0) + 0.05;
    }
  if (mode === 'nan') table.fill(NaN, -names.length); // the row of a word that no sample has
  const metadata = {
    format: '1',
    encoder: { kind: 'tokens', tokenizer: tinyTokenizer(words), tokenizerConfig: tinyTokenizerConfig, maxLength: 32 },
    labels,
    temperature: 1,
    threshold: 0.2,
    manifest: mode === 'old' ? {} : (JSON.parse(readFileSync(values.manifest, 'utf8')) as unknown),
    training: { by: 'test' },
  };
  const model = modelFields({
    inputs: [
      { name: 'tokens.features', type: 'int32', shape: ['texts', 'length'] },
      { name: 'tokens.values', type: 'float', shape: ['texts', 'length'] },
    ],
    outputs: [{ name: 'probabilities', type: 'float', shape: ['texts', names.length] }],
    constants: [
      { name: 'table', shape: [words.length + 2, names.length], data: table },
      { name: 'axis', shape: [1], data: BigInt64Array.of(1n) },
    ],
    nodes: [
      { op: 'Gather', inputs: ['table', 'tokens.features'], output: 'rows' },
      { op: 'Unsqueeze', inputs: ['tokens.values', 'axis'], output: 'mask' },
      { op: 'MatMul', inputs: ['mask', 'rows'], output: 'sum' },
      { op: 'Squeeze', inputs: ['sum', 'axis'], output: 'scores' },
      mode === 'scores'
        ? { op: 'Identity', inputs: ['scores'], output: 'probabilities' }
        : { op: 'Softmax', inputs: ['scores'], output: 'probabilities', attributes: { axis: 1 } },
    ],
    metadata: Object.entries(metadata).map(([key, value]) => [`samvad.${key}`, JSON.stringify(value)]),
  });
  writeFileSync(values.output, message(model));
}
