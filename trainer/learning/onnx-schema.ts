/**
 * The ONNX messages that are written here, with their field numbers in onnx.proto (https://github.com/onnx/onnx, IR 8).
 */
import type { Field } from './protobuf.ts';

/** TensorProto.DataType */
const FLOAT = 1;
const INT8 = 3;
const INT32 = 6;
const INT64 = 7;
/** AttributeProto.AttributeType */
const INT_ATTRIBUTE = 2;

/** An input or output of the graph. Named dimensions have a variable size. */
export interface GraphValue {
  readonly name: string;
  readonly type: 'float' | 'int32' | 'int64';
  readonly shape: readonly (string | number)[];
}

/** A constant tensor in the file. */
export interface Constant {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array | Int8Array | BigInt64Array;
}

/** A node of the graph with integer attributes. */
export interface GraphNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes?: Readonly<Record<string, number>>;
}

/** A complete model to write. */
export interface OnnxModel {
  readonly inputs: readonly GraphValue[];
  readonly outputs: readonly GraphValue[];
  readonly constants: readonly Constant[];
  readonly nodes: readonly GraphNode[];
  /** Metadata properties, in the order in which they are written. */
  readonly metadata: readonly (readonly [string, string])[];
}

/** The fields of ModelProto: IR version 8, operator set 18. */
export function modelFields({ inputs, outputs, constants, nodes, metadata }: OnnxModel): readonly Field[] {
  const graph: readonly Field[] = [
    ...nodes.map((node): Field => [1, nodeFields(node)]),
    [2, 'samvad'],
    ...constants.map((constant): Field => [5, constantFields(constant)]),
    ...inputs.map((value): Field => [11, valueFields(value)]),
    ...outputs.map((value): Field => [12, valueFields(value)]),
  ];
  return [
    [1, 8],
    [2, 'samvad'],
    [7, graph],
    [8, [[2, 18]]],
    ...metadata.map(([key, value]): Field => [
      14,
      [
        [1, key],
        [2, value],
      ],
    ]),
  ];
}

function nodeFields({ op, inputs, output, attributes = {} }: GraphNode): readonly Field[] {
  return [
    ...inputs.map((name): Field => [1, name]),
    [2, output],
    [3, output],
    [4, op],
    ...Object.entries(attributes).map(([name, value]): Field => [
      5,
      [
        [1, name],
        [3, value],
        [20, INT_ATTRIBUTE],
      ],
    ]),
  ];
}

function constantFields({ name, shape, data }: Constant): readonly Field[] {
  const type =
    data instanceof Float32Array
      ? FLOAT
      : data instanceof Int8Array
        ? INT8
        : data instanceof Int32Array
          ? INT32
          : INT64;
  return [
    ...shape.map((size): Field => [1, size]),
    [2, type],
    [8, name],
    [9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)],
  ];
}

function valueFields({ name, type, shape }: GraphValue): readonly Field[] {
  const dimensions = shape.map((size): Field => [1, [typeof size === 'string' ? [2, size] : [1, size]]]);
  return [
    [1, name],
    [
      2,
      [
        [
          1,
          [
            [1, { float: FLOAT, int32: INT32, int64: INT64 }[type]],
            [2, dimensions],
          ],
        ],
      ],
    ],
  ];
}
