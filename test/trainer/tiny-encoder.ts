/** A minimal sentence encoder, generated for tests: a table of word vectors behind a real tokenizer. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { modelFields } from '../../trainer/learning/onnx-schema.ts';
import { message } from '../../trainer/learning/protobuf.ts';
import { random } from '../../trainer/learning/random.ts';

/** Numbers in a vector. */
export const TINY_DIMENSIONS = 24;

/** The content of tokenizer.json: the words of `words`, [UNK] for all others. */
export function tinyTokenizer(words: readonly string[]): Readonly<Record<string, unknown>> {
  const vocab = Object.fromEntries(['[PAD]', '[UNK]', ...words].map((word, id) => [word, id]));
  const special = (id: number, content: string) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  });
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [special(0, '[PAD]'), special(1, '[UNK]')],
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: false,
      lowercase: true,
    },
    pre_tokenizer: { type: 'Whitespace' },
    post_processor: null,
    decoder: null,
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab,
    },
  };
}

/** The content of tokenizer_config.json. */
export const tinyTokenizerConfig = {
  tokenizer_class: 'BertTokenizer',
  pad_token: '[PAD]',
  unk_token: '[UNK]',
  model_max_length: 64,
};

/** Writes config.json, tokenizer.json, tokenizer_config.json and onnx/model.onnx into `folder`. */
export async function writeTinyEncoder(folder: string, words: readonly string[], seed = 1): Promise<void> {
  await mkdir(path.join(folder, 'onnx'), { recursive: true });
  const next = random(seed);
  const size = words.length + 2;
  const table = Float32Array.from({ length: size * TINY_DIMENSIONS }, () => 2 * next() - 1);
  const model = message(
    modelFields({
      inputs: ['input_ids', 'attention_mask'].map((name) => ({ name, type: 'int64', shape: ['texts', 'tokens'] })),
      outputs: [{ name: 'last_hidden_state', type: 'float', shape: ['texts', 'tokens', TINY_DIMENSIONS] }],
      constants: [{ name: 'table', shape: [size, TINY_DIMENSIONS], data: table }],
      nodes: [{ op: 'Gather', inputs: ['table', 'input_ids'], output: 'last_hidden_state', attributes: { axis: 0 } }],
      metadata: [],
    }),
  );
  await writeFile(path.join(folder, 'onnx', 'model.onnx'), model);
  await writeFile(
    path.join(folder, 'config.json'),
    JSON.stringify({ model_type: 'bert', hidden_size: TINY_DIMENSIONS }),
  );
  await writeFile(path.join(folder, 'tokenizer.json'), JSON.stringify(tinyTokenizer(words)));
  await writeFile(path.join(folder, 'tokenizer_config.json'), JSON.stringify(tinyTokenizerConfig));
}
