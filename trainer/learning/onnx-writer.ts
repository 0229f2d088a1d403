/**
 * Writes a classifier as an ONNX file. The graph contains everything learned: the known features, their weights, the
 * towers, the temperature. Only the encoder runs before it; its configuration is in the file's metadata.
 */
import type { Classifier } from './classifier.ts';
import type { EncoderConfig, View } from './encoder.ts';
import { modelFields } from './onnx-schema.ts';
import type { Constant, GraphNode, GraphValue } from './onnx-schema.ts';
import { message } from './protobuf.ts';
import { packView } from './quantise.ts';
import type { Tower } from './tower.ts';

/** The metadata of the file. */
export interface ModelMetadata {
  /** Version of this format. */
  readonly format: '1';
  readonly encoder: EncoderConfig;
  readonly labels: Classifier['labels'];
  readonly temperature: number;
  readonly threshold: number;
  /**
   * Views (by index), hidden units and kind of each tower, for incremental training; absent in files of external
   * programs.
   */
  readonly towers?: readonly Pick<Tower, 'views' | 'hidden' | 'pooling' | 'rectified'>[];
  /** The data set it was trained on, as described by its builder; any JSON. */
  readonly manifest: unknown;
  /** Seed and options of the trainer; any JSON. */
  readonly training: unknown;
}

/** Prefix of the metadata properties. */
export const METADATA_PREFIX = 'samvad.';

/** The bytes of the file. Equal input gives equal bytes, independent of clock and machine. */
export function writeModel(
  classifier: Classifier,
  views: readonly View[],
  about: Pick<ModelMetadata, 'encoder' | 'manifest' | 'training'>,
): Buffer {
  const { labels, towers, temperature, threshold } = classifier;
  const parts = views.flatMap((view, i) => [viewPart(classifier, view, i), ...largestPart(towers, view, i)]);
  const head = headPart(classifier, views);
  const metadata: ModelMetadata = {
    format: '1',
    encoder: about.encoder,
    labels,
    temperature,
    threshold,
    towers: towers.map(({ views: places, hidden, pooling, rectified }) => ({
      views: places,
      hidden,
      pooling,
      rectified,
    })),
    manifest: about.manifest,
    training: about.training,
  };
  return message(
    modelFields({
      inputs: parts.flatMap(({ inputs }) => inputs),
      outputs: [{ name: 'probabilities', type: 'float', shape: ['texts', labels.length] }],
      constants: [...parts.flatMap(({ constants }) => constants), ...head.constants],
      nodes: [...parts.flatMap(({ nodes }) => nodes), ...head.nodes],
      metadata: Object.entries(metadata).map(([key, value]) => [METADATA_PREFIX + key, JSON.stringify(value)]),
    }),
  );
}

interface Part {
  readonly inputs: readonly GraphValue[];
  readonly constants: readonly Constant[];
  readonly nodes: readonly GraphNode[];
}

/** The nodes from the features of one view to the weighted sums: texts × columns, with the towers side by side. */
function viewPart({ vocabularies, towers }: Classifier, { name, width }: View, index: number): Part {
  const vocabulary = vocabularies[index];
  if (!vocabulary) throw new Error(`The classifier has no vocabulary for the view ${name}.`);
  const { columns, weights, scales } = packView(towers, index);
  const rows = vocabulary.idf.length;
  const of = (part: string) => `${name}.${part}`;
  const node = (op: string, inputs: readonly string[], output: string, attributes: Record<string, number> = {}) => ({
    op,
    inputs: inputs.map((input) => (input.includes('.') ? input : of(input))),
    output: of(output),
    attributes,
  });
  return {
    inputs: [
      { name: of('features'), type: 'int32', shape: ['texts', of('length')] },
      { name: of('values'), type: 'float', shape: ['texts', of('length')] },
    ],
    constants: [
      { name: of('row-of'), shape: [width], data: vocabulary.rowOf },
      { name: of('idf'), shape: [rows], data: vocabulary.idf },
      { name: of('scales'), shape: [rows], data: scales },
      { name: of('weights'), shape: [rows, columns], data: weights },
      { name: of('axis'), shape: [1], data: BigInt64Array.of(1n) },
    ],
    nodes: [
      node('Gather', ['row-of', 'features'], 'rows', { axis: 0 }),
      node('Gather', ['idf', 'rows'], 'idfs', { axis: 0 }),
      node('Mul', ['values', 'idfs'], 'weighted'),
      node('LpNormalization', ['weighted'], 'unit', { axis: 1, p: 2 }),
      node('Gather', ['scales', 'rows'], 'row-scales', { axis: 0 }),
      node('Mul', ['unit', 'row-scales'], 'scaled'),
      node('Unsqueeze', ['scaled', 'axis'], 'across'),
      node('Gather', ['weights', 'rows'], 'integers', { axis: 0 }),
      node('Cast', ['integers'], 'table', { to: 1 }),
      node('MatMul', ['across', 'table'], 'products'),
      node('Squeeze', ['products', 'axis'], 'sums'),
    ],
  };
}

/** The number of columns of a view before its first max-pooling tower; all if it has none. */
function columnsBeforeMaxima(towers: readonly Tower[], view: number): number {
  const here = towers.filter(({ views }) => views.includes(view));
  const first = here.findIndex(({ pooling }) => pooling === 'max');
  return here.slice(0, first < 0 ? here.length : first).reduce((sum, { hidden }) => sum + hidden, 0);
}

/**
 * The nodes for max pooling of one view: from its weights to the maximum of each column, starting at the first such
 * tower. Entries with weight 0 are ignored: unknown features, and padding, whose index may be that of a known feature.
 * If nothing else remains, the result is 0.
 */
function largestPart(towers: readonly Tower[], { name }: View, index: number): readonly Part[] {
  if (!towers.some(({ pooling, views }) => pooling === 'max' && views.includes(index))) return [];
  const of = (part: string) => `${name}.${part}`;
  const node = (op: string, inputs: readonly string[], output: string, attributes: Record<string, number> = {}) => ({
    op,
    inputs: inputs.map(of),
    output: of(output),
    attributes,
  });
  const constants = [
    { name: of('first'), shape: [1], data: BigInt64Array.of(BigInt(columnsBeforeMaxima(towers, index))) },
    { name: of('end'), shape: [1], data: BigInt64Array.of(2n ** 31n) },
    { name: of('column-axis'), shape: [1], data: BigInt64Array.of(2n) },
    { name: of('lowest'), shape: [1], data: Float32Array.of(-3e38) },
    { name: of('none'), shape: [1], data: Float32Array.of(0) },
  ];
  const nodes = [
    node('Equal', ['weighted', 'none'], 'weighs-nothing'),
    node('Unsqueeze', ['weighs-nothing', 'column-axis'], 'passed-over'),
    node('Unsqueeze', ['row-scales', 'column-axis'], 'table-scales'),
    node('Slice', ['table', 'first', 'end', 'column-axis'], 'columns'),
    node('Mul', ['columns', 'table-scales'], 'embeddings'),
    node('Where', ['passed-over', 'lowest', 'embeddings'], 'candidates'),
    node('ReduceMax', ['candidates', 'axis'], 'maxima', { keepdims: 0 }),
    node('Equal', ['maxima', 'lowest'], 'is-none'),
    node('Where', ['is-none', 'none', 'maxima'], 'largest'),
  ];
  return [{ inputs: [], constants, nodes }];
}

/** The nodes from the sums of the views to probabilities: the rectifiers, then all output layers as one matrix. */
function headPart({ towers, labels, temperature }: Classifier, views: readonly View[]): Part {
  const constants: Constant[] = [];
  const nodes: GraphNode[] = [];
  const constant = (name: string, shape: readonly number[], data: Constant['data']) => {
    constants.push({ name, shape, data });
    return name;
  };
  const starts = views.map(() => 0);
  const units = towers.map((tower, t) => {
    const pieces = tower.views.map((view, i) => {
      const from = starts[view] ?? 0;
      starts[view] = from + tower.hidden;
      const before = tower.pooling === 'max' ? columnsBeforeMaxima(towers, view) : 0;
      const name = `tower${t}.view${i}`;
      const bound = (at: number, end: string) => constant(`${name}.${end}`, [1], BigInt64Array.of(BigInt(at)));
      const inputs = [
        `${views[view]?.name ?? ''}.${tower.pooling === 'max' ? 'largest' : 'sums'}`,
        bound(from - before, 'from'),
        bound(from - before + tower.hidden, 'to'),
        bound(1, 'axis'),
      ];
      nodes.push({ op: 'Slice', inputs, output: name });
      return name;
    });
    const sum = `tower${t}.sum`;
    nodes.push({ op: 'Sum', inputs: pieces, output: sum });
    const share = constant(`tower${t}.share`, [1], Float32Array.of(1 / Math.sqrt(tower.views.length)));
    nodes.push({ op: 'Mul', inputs: [sum, share], output: `tower${t}.mean` });
    nodes.push({
      op: 'Add',
      inputs: [`tower${t}.mean`, constant(`tower${t}.bias`, [tower.hidden], tower.hiddenBias)],
      output: `tower${t}.before`,
    });
    if (!tower.rectified) return `tower${t}.before`;
    nodes.push({ op: 'Relu', inputs: [`tower${t}.before`], output: `tower${t}.units` });
    return `tower${t}.units`;
  });
  nodes.push({ op: 'Concat', inputs: units, output: 'units', attributes: { axis: 1 } });
  const hidden = towers.reduce((sum, tower) => sum + tower.hidden, 0);
  const output = new Float32Array(hidden * labels.length);
  let at = 0;
  for (const tower of towers) {
    output.set(tower.output, at);
    at += tower.output.length;
  }
  const biases = Float32Array.from(towers.flatMap((tower) => [...tower.outputBias]));
  constant('output-biases', [towers.length, labels.length], biases);
  constant('output-axis', [1], BigInt64Array.of(0n));
  nodes.push({
    op: 'ReduceSum',
    inputs: ['output-biases', 'output-axis'],
    output: 'output-bias',
    attributes: { keepdims: 0 },
  });
  nodes.push({ op: 'MatMul', inputs: ['units', constant('output', [hidden, labels.length], output)], output: 'votes' });
  nodes.push({ op: 'Add', inputs: ['votes', 'output-bias'], output: 'scores' });
  const divisor = constant('divisor', [1], Float32Array.of(temperature * towers.length));
  nodes.push({ op: 'Div', inputs: ['scores', divisor], output: 'calibrated' });
  nodes.push({ op: 'Softmax', inputs: ['calibrated'], output: 'probabilities', attributes: { axis: 1 } });
  return { inputs: [], constants, nodes };
}
