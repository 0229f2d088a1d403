/**
 * Checks an ONNX file before it is run. A model file is foreign code: everything but plain arithmetic on data inside
 * the file is refused, with a reason.
 */
import { OUT_OF_SCOPE } from './classifier.ts';
import type { Label } from './classifier.ts';
import { METADATA_PREFIX } from './onnx-writer.ts';
import type { ModelMetadata } from './onnx-writer.ts';
import { readFields, WireError } from './protobuf.ts';
import type { ReadField } from './protobuf.ts';

/** A model file was refused. The message says why. */
export class ModelRefused extends Error {
  override readonly name = 'ModelRefused';
}

/** A tensor of the file; its bytes are not copied yet. */
export interface StoredTensor {
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** The content of a checked file. */
export interface CheckedModel {
  readonly metadata: ModelMetadata;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Reads a tensor by name; undefined when it does not exist. */
  readonly tensor: (name: string) => StoredTensor | undefined;
}

/** Domains whose operators the ONNX standard defines. Operators of other domains are custom code. */
const STANDARD_DOMAINS = new Set(['', 'ai.onnx']);
/** Deeper nesting can only be an attempt to exhaust the stack. */
const MAX_DEPTH = 8;

/**
 * Checks a file and reads its metadata.
 * @throws ModelRefused when it is damaged, not a model of this trainer's format, or needs external data or operators.
 */
export function checkModel(bytes: Uint8Array): CheckedModel {
  try {
    return check(bytes);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new ModelRefused(`The file is not a whole ONNX model: ${error.message}`, { cause: error });
  }
}

function check(bytes: Uint8Array): CheckedModel {
  if (bytes.length === 0) throw new ModelRefused('The file is empty.');
  const model = readFields(bytes);
  const graph = messages(model, 7)[0];
  if (!graph) throw new ModelRefused('The file has no graph; it may be truncated, or not be an ONNX model.');
  for (const operators of messages(model, 8))
    checkDomain(text(readFields(operators), 1), 'The file requires operators');
  if (messages(model, 25).length > 0 || messages(model, 20).length > 0)
    throw new ModelRefused('The file defines its own functions or training steps; only plain graphs are run.');
  const tensors = new Map<string, StoredTensor>();
  const fields = readFields(graph);
  checkGraph(fields, 0, tensors);
  const names = (number: number) => messages(fields, number).map((value) => text(readFields(value), 1));
  return {
    metadata: readMetadata(model),
    inputs: names(11).filter((name) => !tensors.has(name)),
    outputs: names(12),
    tensor: (name) => tensors.get(name),
  };
}

function checkGraph(graph: readonly ReadField[], depth: number, tensors?: Map<string, StoredTensor>): void {
  if (depth > MAX_DEPTH) throw new ModelRefused(`Its graphs are nested more than ${MAX_DEPTH} deep.`);
  for (const tensor of messages(graph, 5)) {
    const fields = readFields(tensor);
    checkTensor(fields);
    tensors?.set(text(fields, 8), {
      shape: fields.filter(({ number }) => number === 1).map(({ value }) => Number(value)),
      bytes: fields.find(({ number }) => number === 9)?.bytes ?? new Uint8Array(0),
    });
  }
  for (const sparse of messages(graph, 15)) checkSparse(sparse);
  for (const node of messages(graph, 1)) {
    const fields = readFields(node);
    checkDomain(text(fields, 7), `The operator ${text(fields, 4)} is`);
    for (const attribute of messages(fields, 5)) {
      const parts = readFields(attribute);
      for (const tensor of [...messages(parts, 5), ...messages(parts, 10)]) checkTensor(readFields(tensor));
      for (const sparse of [...messages(parts, 22), ...messages(parts, 23)]) checkSparse(sparse);
      for (const inner of [...messages(parts, 6), ...messages(parts, 11)]) checkGraph(readFields(inner), depth + 1);
    }
  }
}

function checkSparse(sparse: Uint8Array): void {
  const fields = readFields(sparse);
  for (const tensor of [...messages(fields, 1), ...messages(fields, 2)]) checkTensor(readFields(tensor));
}

/** external_data is field 13, data_location is field 14; 1 means outside the file. */
function checkTensor(fields: readonly ReadField[]): void {
  if (!fields.some(({ number, value }) => number === 13 || (number === 14 && value !== 0n))) return;
  throw new ModelRefused(`The tensor ${text(fields, 8)} is stored in another file; a model must be a single file.`);
}

function checkDomain(domain: string, what: string): void {
  if (STANDARD_DOMAINS.has(domain)) return;
  throw new ModelRefused(`${what} from ${JSON.stringify(domain)}; only operators of the ONNX standard are run.`);
}

function readMetadata(model: readonly ReadField[]): ModelMetadata {
  const entries = messages(model, 14).map((entry) => {
    const fields = readFields(entry);
    return [text(fields, 1), text(fields, 2)] as const;
  });
  const read = new Map<string, unknown>();
  for (const [key, value] of entries)
    if (key.startsWith(METADATA_PREFIX)) read.set(key.slice(METADATA_PREFIX.length), parse(key, value));
  if (read.size === 0)
    throw new ModelRefused('It is an ONNX file, but not a model of this trainer: it has no samvad.* properties.');
  const problem = metadataProblem(read);
  if (problem !== undefined) throw new ModelRefused(problem);
  return Object.fromEntries(read) as unknown as ModelMetadata;
}

function parse(key: string, value: string): unknown {
  try {
    return JSON.parse(value) as unknown;
  } catch (error) {
    throw new ModelRefused(`The property ${key} is not JSON.`, { cause: error });
  }
}

/** The problem of the metadata properties, as a sentence. */
function metadataProblem(read: ReadonlyMap<string, unknown>): string | undefined {
  if (read.get('format') !== '1')
    return `Its format is ${JSON.stringify(read.get('format'))}; this program reads format "1".`;
  const labels = read.get('labels');
  const isLabel = (label: unknown) =>
    typeof label === 'object' &&
    label !== null &&
    'module' in label &&
    'intent' in label &&
    typeof label.module === 'string' &&
    typeof label.intent === 'string';
  if (!Array.isArray(labels) || labels.length < 2 || !labels.every(isLabel)) return 'It names fewer than two intents.';
  if (!labels.some(({ intent }: Label) => intent !== OUT_OF_SCOPE)) return 'It names no intent that is in scope.';
  const number = (key: string) => {
    const value = read.get(key);
    return typeof value === 'number' && Number.isFinite(value) && value >= 0;
  };
  if (!number('temperature') || !number('threshold')) return 'It has no temperature or no threshold.';
  const encoder = read.get('encoder');
  if (typeof encoder !== 'object' || encoder === null || !('kind' in encoder)) return 'It names no encoder.';
  return undefined;
}

function messages(fields: readonly ReadField[], number: number): readonly Uint8Array[] {
  return fields.flatMap((field) => (field.number === number && field.bytes ? [field.bytes] : []));
}

function text(fields: readonly ReadField[], number: number): string {
  return Buffer.from(fields.find((field) => field.number === number)?.bytes ?? new Uint8Array(0)).toString('utf8');
}
