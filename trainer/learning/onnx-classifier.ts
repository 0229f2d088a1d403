/** Reads the classifier back from a file of this trainer, to go on training from it. */
import type { Classifier } from './classifier.ts';
import type { View } from './encoder.ts';
import { ModelRefused } from './onnx-reader.ts';
import type { CheckedModel } from './onnx-reader.ts';
import { unpackView } from './quantise.ts';

/**
 * The weights of a checked file.
 * @throws ModelRefused when the file is from an external program, whose graph has another form.
 */
export function readClassifier(model: CheckedModel, views: readonly View[]): Classifier {
  const { labels, temperature, threshold, towers } = model.metadata;
  if (towers === undefined)
    throw new ModelRefused('The file is from an external trainer: it can be served, but not trained further here.');
  const floats = (name: string) => new Float32Array(copy(model, name));
  const packed = views.map(({ name }) => {
    const weights = new Int8Array(copy(model, `${name}.weights`));
    return { columns: model.tensor(`${name}.weights`)?.shape[1] ?? 0, weights, scales: floats(`${name}.scales`) };
  });
  const [output, biases] = [floats('output'), floats('output-biases')];
  const from = views.map(() => 0);
  let at = 0;
  return {
    labels,
    temperature,
    threshold,
    vocabularies: views.map(({ name }) => ({
      rowOf: new Int32Array(copy(model, `${name}.row-of`)),
      idf: floats(`${name}.idf`),
    })),
    towers: towers.map((tower, t) => {
      const features = tower.views.map((view) => {
        const column = from[view] ?? 0;
        from[view] = column + tower.hidden;
        const pack = packed[view];
        if (!pack) throw new ModelRefused(`Tower ${t} looks at view ${view}, which its encoder does not have.`);
        return unpackView(pack, column, tower.hidden);
      });
      const start = at;
      at += tower.hidden;
      return {
        ...tower,
        classes: labels.length,
        features,
        hiddenBias: floats(`tower${t}.bias`),
        output: output.slice(start * labels.length, at * labels.length),
        outputBias: biases.slice(t * labels.length, (t + 1) * labels.length),
      };
    }),
  };
}

/** The bytes of a tensor, aligned for typed arrays. */
function copy(model: CheckedModel, name: string): ArrayBuffer {
  const tensor = model.tensor(name);
  if (!tensor) throw new ModelRefused(`The file has no tensor ${name}.`);
  const bytes = new Uint8Array(tensor.bytes.length);
  bytes.set(tensor.bytes);
  return bytes.buffer;
}
