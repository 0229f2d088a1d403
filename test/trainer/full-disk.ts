/** Builds a data set that is larger than its disk, for a test: `full-disk.ts FOLDER`. Prints the outcome. */
import { buildDataSet } from '../../trainer/data-set/data-set.ts';
import type { PlacedSample } from '../../trainer/data-set/sample-table.ts';
import { TrainingError } from '../../trainer/learning/train.ts';
import { sample } from '../fixtures.ts';

const [, , folder = ''] = process.argv;

async function* samples(): AsyncGenerator<PlacedSample> {
  for (let offset = 0; offset < 60_000; offset++) {
    await Promise.resolve();
    const conversation_id = `c-${String(offset)}`;
    const approved = sample({ conversation_id, text: `${String(offset)} ${'words '.repeat(100)}` });
    yield { partition: 0, offset, schemaId: 1, event: { conversation_id, approved, withdrawn: null, erased_at: null } };
  }
}

const request = { dataSet: 'default', upTo: new Map([[0, Infinity]]) };
try {
  const dataSet = await buildDataSet(request, samples(), '1.0.0', { folder });
  await dataSet.close();
  process.stdout.write('there was room\n');
} catch (error) {
  process.stdout.write(`${error instanceof TrainingError ? 'TrainingError' : 'another error'}: ${String(error)}\n`);
}
