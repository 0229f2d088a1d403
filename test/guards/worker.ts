/** One component on its runner, as a process that a test can hold: `worker.ts COMPONENT`. Runs in copies of the program. */
import path from 'node:path';
import { readConfig } from '../../config.ts';
import { confidenceRouter } from '../../processors/confidence-router.ts';
import { openLog } from '../../runtime/log.ts';
import { openPool } from '../../runtime/postgres-pool.ts';
import { startProcessor } from '../../runtime/processor-runner.ts';
import { startProjection } from '../../runtime/projection-runner.ts';
import { openCodecs } from '../../runtime/schema-registry.ts';
import { reviewQueue } from '../../sinks/review-queue.ts';
import { PARTITIONS, topics } from '../../topology.ts';

const { kafka = { brokers: '' }, schemaRegistryUrl = '', databaseUrl = '', home, logLevel } = readConfig();
const codecs = await openCodecs(schemaRegistryUrl, Object.values(topics));
const log = openLog({ level: logLevel });
const component =
  process.argv[2] === reviewQueue.name
    ? startProjection({
        projection: reviewQueue,
        kafka,
        codec: codecs.of(topics.reviewQueue),
        pool: openPool(databaseUrl),
        log,
        onPoison: (_, poison) => Promise.reject(poison),
      })
    : startProcessor({
        processor: confidenceRouter,
        kafka,
        codecs,
        deadLetters: topics.deadLetters,
        partitions: PARTITIONS,
        stateFolder: path.join(home, 'state'),
        log,
      });
process.once('SIGTERM', () => void component.stop());
process.once('disconnect', () => process.exit()); // the test has ended
await component.finished;
process.exit();
