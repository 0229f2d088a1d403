/**
 * The entry point of the process that `executeInProcess` starts: executes the run it is sent, and reports how it ended.
 */
import { defaultPromotionPolicy } from '../policy/promotion.ts';
import type { Watermark } from '../policy/trigger.ts';
import { mayPass } from '../runtime/may-pass.ts';
import { openCodecs } from '../runtime/schema-registry.ts';
import { topics } from '../topology.ts';
import { readPolicyInForce } from './adopted-policy.ts';
import { openArtifactFolder } from './artifacts.ts';
import { codeVersion } from './code-version.ts';
import { readSamples } from './data-set/data-set.ts';
import { recipeOf } from './learning/recipe.ts';
import { trainInWorker } from './learning/train-worker.ts';
import { openModelLog } from './model-log.ts';
import { STOP } from './run-process.ts';
import type { RunAnswer, RunNews, RunOrder } from './run-process.ts';
import { executeRun } from './training-run.ts';

const stopping = new AbortController();
process.on('message', (message) => {
  if (message === STOP) stopping.abort();
  else void carryOut(message as RunOrder);
});
process.once('disconnect', () => stopping.abort()); // the trainer is gone
// A terminal sends these signals to all of its processes; the trainer decides when the run ends.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);

async function carryOut(order: RunOrder): Promise<void> {
  const answer = await execute(order).then(
    (standing): RunAnswer => ({ standing }),
    (error: unknown): RunAnswer => ({ error: String(error), passes: mayPass(error) }),
  );
  process.send?.(answer, () => process.exit(0)); // native clients may keep the process alive
}

async function execute({ id, servers, training, dataSets, trainer }: RunOrder) {
  const { kafka, schemaRegistryUrl } = servers;
  const { trainingSamples, trainingRuns, modelEvents, adoptedPolicies } = topics;
  const codecs = await openCodecs(schemaRegistryUrl, [trainingSamples, trainingRuns, modelEvents, adoptedPolicies]);
  const log = await openModelLog(kafka, codecs);
  try {
    const ports = {
      log,
      artifacts: openArtifactFolder(training.artifacts),
      samples: (upTo: Watermark) => readSamples(kafka, codecs, upTo),
      train: trainInWorker,
      policy: () => readPolicyInForce(kafka, codecs),
      promotion: defaultPromotionPolicy,
      ...recipeOf(training),
      // Without a callback, a send to a trainer that is gone would end this process.
      onGroup: (group: number | undefined) =>
        process.send?.({ group: group ?? null } satisfies RunNews, () => undefined),
      codeVersion,
      dataSets,
      trainer,
      now: () => Date.now(),
    };
    return await executeRun(id, ports, stopping.signal);
  } finally {
    await log.close();
  }
}
