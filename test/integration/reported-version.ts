/** A version that was compared with production, in the log and in the artifacts, without the time that training takes. */
import path from 'node:path';
import { artifactsOf } from '../../app/environment.ts';
import type { Prepared } from '../../app/environment.ts';
import { foldLog, register } from '../../policy/model-log.ts';
import { decidePromotion, defaultPromotionPolicy } from '../../policy/promotion.ts';
import { defaultPolicy } from '../../policy/routing.ts';
import { noteRun, offsetsOf, requestRun, startRun } from '../../policy/training-run.ts';
import { topicEnds } from '../../runtime/read-topic.ts';
import { topics } from '../../topology.ts';
import { codeVersion } from '../../trainer/code-version.ts';
import { buildDataSet, readSamples } from '../../trainer/data-set/data-set.ts';
import type { Manifest } from '../../trainer/data-set/data-set.ts';
import { DATA_SETS } from '../../trainer/data-set/data-set-folder.ts';
import { compare } from '../../trainer/learning/compare.ts';
import { evaluate } from '../../trainer/learning/evaluate.ts';
import type { Judged } from '../../trainer/learning/evaluate.ts';
import { openModelLog } from '../../trainer/model-log.ts';
import { confusion } from '../../trainer/report.ts';
import { putReport, reportedStanding } from '../../trainer/run-report.ts';
import type { StoredReport } from '../../trainer/run-report.ts';

/** What is in the log afterwards. */
export interface ReportedVersion {
  readonly version: string;
  readonly runId: string;
  readonly manifest: Manifest;
  readonly report: StoredReport;
}

const INTENTS = ['track_order', 'cancel_order', 'refund_status'] as const;

/** 60 rows: where `right(i)`, the answer is right; the others are answered with the next intent. */
function judgedRows(right: (i: number) => boolean): readonly Judged[] {
  return Array.from({ length: 60 }, (_, i) => {
    const intent = INTENTS[i % 3] ?? INTENTS[0];
    const said = right(i) ? intent : (INTENTS[(i + 1) % 3] ?? INTENTS[0]);
    return {
      row: { text: `message ${i}`, intent, module: 'food', language: i % 2 ? 'hi' : 'en', source: 'human' },
      answer: { intent: said, module: 'food', confidence: 0.9, outOfScope: false, runnersUp: [] },
    };
  });
}

/**
 * Registers `version` as a finished run would: on all samples that are in the log now, with a report that has 11 rows fixed and
 * 4 broken.
 */
export async function registerReported(prepared: Prepared, version: string): Promise<ReportedVersion> {
  const { config, servers, codecs } = prepared;
  const upTo = await topicEnds(servers.kafka, topics.trainingSamples.name);
  const dataSet = await buildDataSet(
    { dataSet: 'default', upTo },
    readSamples(servers.kafka, codecs, upTo),
    codeVersion,
    { folder: path.join(config.home, DATA_SETS) },
  );
  const { manifest } = dataSet;
  await dataSet.close();
  const judged = judgedRows((i) => i % 12 !== 0);
  const before = judgedRows((i) => i % 5 !== 1);
  const comparison = compare(judged, before);
  const evaluation = evaluate(judged, defaultPolicy, { mean: 1, p50: 1, p99: 2 });
  const evidence = { rows: 60, candidateAccuracy: evaluation.accuracy, comparison, intents: [], languages: [] };
  const report: StoredReport = {
    version,
    comparedWith: 'router-v1.0.0',
    parent: null,
    passedOver: null,
    made: { encoder: { kind: 'hashed-ngrams' }, external: null },
    rows: { train: manifest.rows, dev: 0, test: 60 },
    dropped: { 'empty-text': 0, duplicate: 0, 'test-text-with-automatic-label': 0, 'contradicting-labels': 0 },
    history: [{ stage: 'fit', epoch: 1, epochs: 1, trainLoss: 1, devLoss: 1, devAccuracy: 0.5 }],
    evaluation,
    confusion: confusion(judged),
    comparison,
    decision: decidePromotion(evidence, defaultPromotionPolicy),
    manifest,
  };
  const artifacts = artifactsOf(config);
  const stored = await putReport(artifacts, report);
  const approvals = manifest.rows;
  const runId = `default-${approvals}`;
  const at = Date.now();
  const { verdict, reasons } = report.decision;
  const made = { version, ...stored, data_set_sha256: manifest.sha256, verdict, reasons };
  const log = await openModelLog(servers.kafka, codecs);
  try {
    // All in one append, so that a running trainer does not start the run.
    await log.append((now) => {
      const request = { id: runId, dataSet: 'default', trigger: 'manual', approvals, watermark: upTo } as const;
      const asked = requestRun(now, request, { by: 'test', at }).runs ?? [];
      const started = startRun(foldLog(now, { runs: asked }), runId, 'test', at).runs ?? [];
      const begun = foldLog(now, { runs: [...asked, ...started] });
      const finished = noteRun(
        begun,
        runId,
        1,
        { ...made, manifest: JSON.stringify(manifest), status: 'finished', finished_at: at },
        { finished: { version } },
        at,
      );
      const standing = { ...reportedStanding(report, manifest, at), ...stored, run_id: runId };
      return {
        runs: [...asked, ...started, finished],
        models: register(begun, version, { ...standing, consumed: offsetsOf(upTo) }, { by: 'test', reason: '', at }),
      };
    });
  } finally {
    await log.close();
  }
  return { version, runId, manifest, report };
}
