/** The parts of the protocol buffer wire format that ONNX needs (https://protobuf.dev/programming-guides/encoding/). */

/** A field to write: numbers become varints, everything else bytes. */
export type Field = readonly [number: number, value: number | string | Uint8Array | readonly Field[]];

/** A field that was read. `bytes` is a view into the message; varints and fixed-size numbers have none. */
export interface ReadField {
  readonly number: number;
  readonly value: bigint;
  readonly bytes: Uint8Array | undefined;
}

/** The bytes are not a protocol buffer message. */
export class WireError extends Error {
  override readonly name = 'WireError';
}

/** Encodes a message. Numbers must be non-negative integers. */
export function message(fields: readonly Field[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([number, value]) => {
      if (typeof value === 'number') return [varint(number * 8), varint(value)];
      const bytes =
        typeof value === 'string' ? Buffer.from(value) : value instanceof Uint8Array ? value : message(value);
      return [varint(number * 8 + 2), varint(bytes.length), bytes];
    }),
  );
}

function varint(value: number): Buffer {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} can't be written as a varint.`);
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  return Buffer.from([...bytes, rest]);
}

/**
 * The fields of a message, in order.
 * @throws WireError when the bytes end inside a field or use a wire type that ONNX does not use.
 */
export function readFields(bytes: Uint8Array): readonly ReadField[] {
  const fields: ReadField[] = [];
  let at = 0;
  const number = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw new WireError('The bytes end inside a number.');
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw new WireError('A number has more than ten bytes.');
  };
  const take = (length: number): Uint8Array => {
    if (length > bytes.length - at) throw new WireError('A field is longer than what is left of its message.');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const key = number();
    const field = Number(key >> 3n);
    if (field === 0) throw new WireError('There is no field 0.');
    switch (key & 7n) {
      case 0n:
        fields.push({ number: field, value: number(), bytes: undefined });
        break;
      case 1n:
        fields.push({ number: field, value: 0n, bytes: take(8) });
        break;
      case 2n:
        fields.push({ number: field, value: 0n, bytes: take(Number(number())) });
        break;
      case 5n:
        fields.push({ number: field, value: 0n, bytes: take(4) });
        break;
      default:
        throw new WireError(`Field ${field} has a wire type that ONNX does not use.`);
    }
  }
  return fields;
}
