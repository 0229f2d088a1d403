import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createHealthServer } from '../../http/health-server.ts';
import type { PipelineFigures } from '../../http/process-metrics.ts';
import { everything, measuredOnce, oneComponent } from './metrics.ts';

/** A health server that gets the figures of the pipeline from `read`. */
function serverOf(read: () => Promise<PipelineFigures>) {
  return createHealthServer({
    readiness: () => Promise.resolve({ kafka: 'ok' }),
    figures: () => oneComponent,
    measurements: measuredOnce(),
    pipeline: read,
  });
}
const scrape = async (server: ReturnType<typeof serverOf>) =>
  (await server.inject('/metrics')).body.split('\n').filter((line) => !line.startsWith('#'));

describe('/metrics', () => {
  it('exports what was counted, measured and read', async () => {
    const lines = await scrape(serverOf(() => Promise.resolve(everything)));
    for (const line of [
      'samvad_component_records_total{component="intake"} 7',
      'samvad_component_commit_duration_seconds_bucket{le="0.01",component="intake"} 0',
      'samvad_component_commit_duration_seconds_bucket{le="0.025",component="intake"} 1',
      'samvad_component_batch_records_sum{component="intake"} 3',
      'samvad_classify_duration_seconds_bucket{le="0.0025",version="v2",texts="one"} 1',
      'samvad_classify_answers_total{version="v2",route="auto-approved"} 1',
      'samvad_classify_unserved_total{version="v1"} 1',
      'samvad_lag_records{component="intake",topic="t"} 3',
      'samvad_review_queue_conversations{class="1"} 2',
      'samvad_review_queue_conversations{class="2"} 0',
      'samvad_review_queue_oldest_timestamp_seconds{class="1"} 1790000000',
      'samvad_training_runs{status="finished"} 4',
      'samvad_training_runs{status="failed"} 0',
      'samvad_training_last_run_outcome{outcome="reject"} 1',
      'samvad_training_last_run_outcome{outcome="promote"} 0',
      'samvad_training_last_run_duration_seconds 12.5',
      'samvad_training_running_epoch 3',
      'samvad_training_running_epochs 40',
    ])
      assert.ok(lines.includes(line), `${line}\n${lines.filter((one) => one.startsWith('samvad')).join('\n')}`);
    assert.ok(!lines.some((line) => line.startsWith('samvad_review_queue_oldest_timestamp_seconds{class="2"}')));
    assert.ok(!lines.some((line) => /^samvad_classify_duration_seconds.*version="v1"/.test(line)), 'v1 did not answer');
  });

  it('reads the figures of the pipeline once per scrape, and exports none while the servers are away', async () => {
    let now: PipelineFigures | Error = everything;
    let reads = 0;
    const server = serverOf(() => {
      reads++;
      return now instanceof Error ? Promise.reject(now) : Promise.resolve(now);
    });
    const pipeline = async () =>
      (await scrape(server)).filter((line) => /^samvad_(lag|review_queue|training)/.test(line));
    const first = await pipeline();
    assert.equal(reads, 1);
    now = new Error('away');
    assert.deepEqual(await pipeline(), []);
    now = { ...everything, training: { byStatus: {}, last: null, running: null } };
    assert.deepEqual(
      await pipeline(),
      first
        .filter((line) => !/^samvad_training_(last_run|running)/.test(line))
        .map((line) => line.replace(/^(samvad_training_runs\S+) .*/, '$1 0')),
    );
  });

  it('answers before Prometheus gives up when the servers hang, with all that the process knows by itself', async () => {
    let reads = 0;
    let answer: (figures: PipelineFigures) => void = () => undefined;
    const server = serverOf(() => {
      reads++;
      return new Promise((resolve) => (answer = resolve));
    });
    const patient = new AbortController();
    const lines = await Promise.race([scrape(server), sleep<string[]>(8000, [], { signal: patient.signal })]);
    patient.abort();
    assert.ok(lines.includes('samvad_component_records_total{component="intake"} 7'));
    assert.ok(!lines.some((line) => /^samvad_(lag|review_queue|training)/.test(line)));
    const next = scrape(server); // it does not ask servers again that have not answered yet
    setTimeout(() => answer(everything), 100);
    assert.ok((await next).includes('samvad_lag_records{component="intake",topic="t"} 3'));
    assert.equal(reads, 1);
  });
});
