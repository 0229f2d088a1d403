import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { ESLint } from 'eslint';

const eslint = new ESLint({ cwd: path.join(import.meta.dirname, '..', '..') });

/** Whether `file` may import `place`, by the lint. */
async function mayImport(file: string, place: string): Promise<boolean> {
  const [result] = await eslint.lintText(`import '${place}';\n`, { filePath: file });
  return !(result?.messages ?? []).some(({ ruleId }) => ruleId === '@typescript-eslint/no-restricted-imports');
}

describe('imports between folders', () => {
  for (const [file, place, may] of [
    ['policy/routing.ts', './validation.ts', true],
    ['policy/routing.ts', '../schemas/types.ts', true],
    ['policy/routing.ts', '../trainer/split.ts', false],
    ['policy/routing.ts', '../config.ts', false],
    ['policy/routing.ts', 'zod', false],
    ['policy/routing.ts', 'node:fs', false],
    ['processors/intake.ts', '../policy/routing.ts', true],
    ['processors/intake.ts', '../sinks/erasures.ts', false],
    ['runtime/topics.ts', '../topology.ts', false],
    ['runtime/topics.ts', 'kafkajs', true],
    ['producers/inputs.ts', '../review/erased.ts', false],
    ['schemas/generate.ts', '../trainer/split.ts', false],
    ['kpi/day.ts', '../operations/policy.ts', false],
    ['review/erased.ts', '../operations/policy.ts', false],
    ['serving/follow-models.ts', '../operations/policy.ts', false],
    ['simulation/figures.ts', '../cli/terminal.ts', false],
    ['trainer/learning/split.ts', '../../processors/intake.ts', false],
    ['trainer/learning/split.ts', '../../policy/hash.ts', true],
    ['trainer/learning/split.ts', '../artifacts.ts', true],
    ['trainer/learning/split.ts', '../training-run.ts', false],
    ['trainer/learning/split.ts', './train.ts', true],
    ['trainer/trainer.ts', './learning/split.ts', true],
    ['trainer/trainer.ts', '../http/server.ts', false],
    ['jobs/daily.ts', '../pipeline.ts', false],
    ['http/live.ts', '../app/lag.ts', false],
    ['app/lag.ts', '../cli/up.ts', false],
    ['app/lag.ts', '../pipeline.ts', true],
  ] as const)
    it(`${file} ${may ? 'may' : 'may not'} import ${place}`, async () => {
      assert.equal(await mayImport(file, place), may);
    });
});
