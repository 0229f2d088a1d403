/**
 * The deployment controller: puts a version that may be promoted on trial, judges each step of its rollout on what the
 * canonical log says since the step began, and gives it more traffic, or takes it back. What has all the traffic by a rollout is
 * watched for some days more. It looks when the log has grown, and nothing follows from time alone. Any number may run; one leads.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { productionAccuracy } from '../../policy/audit.ts';
import { CONTROLLER, deploymentOf, foldLog, judgedEvent, rollBack, setTraffic } from '../../policy/model-log.ts';
import type { ModelLog, ModelRecord } from '../../policy/model-log.ts';
import { actOn, defaultRolloutPolicy, judgeProduction, judgeStep } from '../../policy/rollout.ts';
import type { ArmEvidence, StepVerdict } from '../../policy/rollout.ts';
import { offsetsOf, watermarkOf } from '../../policy/training-run.ts';
import { nextCandidate } from '../../policy/trial.ts';
import { leadingService } from '../../runtime/leading-service.ts';
import { readRecords, topicEnds } from '../../runtime/read-topic.ts';
import type { ServiceContext } from '../../runtime/service.ts';
import { openView } from '../../runtime/topic-view.ts';
import type { ModelEvent, StepJudged } from '../../schemas/types.ts';
import { PARTITIONS, topics } from '../../topology.ts';
import { modelLogAccess, openModelLog } from '../model-log.ts';
import type { ModelLogPort } from '../model-log.ts';
import { RolloutEvidence } from './rollout-evidence.ts';

const LOOK_MS = 500;
/** So long a version is watched that a rollout gave all the traffic. Later on, what it replaced is no measure any more. */
const WATCH_MS = 7 * 24 * 60 * 60 * 1000;

/** The service. */
export const deploymentController = leadingService({
  name: CONTROLLER,
  does: 'rolls versions out step by step, or back',
  access: { ...modelLogAccess, reads: [...modelLogAccess.reads, topics.conversationEvents] },
  topic: topics.modelEvents.name,
  counters: ['verdicts'],
  progress: ({ verdicts }) => verdicts,
  lead,
});

async function lead(context: ServiceContext, signal: AbortSignal, stats: { verdicts: number }): Promise<void> {
  const log = await openModelLog(context.kafka, context.codecs);
  let step: Step | undefined;
  try {
    while (!signal.aborted) {
      const now = await log.read();
      const record = judgedNow(now, Date.now());
      if (step && (!record || step.key !== keyOf(record))) {
        await step.close();
        step = undefined;
      }
      await startNext(context, log, now);
      if (record) {
        step ??= await openStep(context, now, record);
        if (await judge(context, log, now, step)) stats.verdicts++;
      }
      await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    await step?.close();
    await log.close();
  }
}

/** The version that is judged at a time: the one on trial, or else the one in production for some days after its rollout. */
export function judgedNow(log: ModelLog, at: number): ModelRecord | undefined {
  const { production, canary } = deploymentOf(log);
  if (canary) return log.models.get(canary.version);
  const record = log.models.get(production);
  return record?.tookOver != null && at < record.tookOver + WATCH_MS ? record : undefined;
}

/** What a version is compared with: the one in production, or, where that is itself, the one that it has replaced. */
function comparedWith(log: ModelLog, { version, judged }: ModelRecord): string {
  const { production } = deploymentOf(log);
  return version === production ? (judged?.against ?? production) : production;
}

async function startNext(context: ServiceContext, log: ModelLogPort, now: ModelLog): Promise<void> {
  if (nextCandidate(now) === undefined) return;
  const ends = offsetsOf(await topicEnds(context.kafka, topics.conversationEvents.name));
  await log.append((latest) => {
    const version = nextCandidate(latest);
    if (version === undefined) return {};
    const reason = latest.models.get(version)?.standing.reasons.join(' ') ?? '';
    return {
      models: setTraffic(
        latest,
        version,
        defaultRolloutPolicy.steps[0] ?? 10,
        { by: CONTROLLER, reason, at: Date.now() },
        ends,
      ),
    };
  });
}

/** A step of a rollout, with the evidence read so far. */
interface Step {
  readonly key: string;
  readonly version: string;
  readonly against: string;
  readonly evidence: RolloutEvidence;
  /** What `against` did in the step before, where it has no traffic any more. */
  readonly before?: ArmEvidence;
  /** Offsets up to which the evidence reaches. */
  readonly upTo: Map<number, number>;
  catchUp(): Promise<void>;
  close(): Promise<void>;
}

/** Tells one step of a rollout from another. */
export function keyOf({ version, standing }: ModelRecord): string {
  return `${version} at ${standing.traffic_percentage} % since ${JSON.stringify(standing.step_from)}`;
}

async function openStep(context: ServiceContext, log: ModelLog, record: ModelRecord): Promise<Step> {
  const against = comparedWith(log, record);
  const { version, judged } = record;
  const last = version === deploymentOf(log).production && judged ? { version, ...judged } : undefined;
  const before = last && { before: (await readEvidence(context, last)).of(against) };
  const evidence = new RolloutEvidence([record.version, against]);
  const from = watermarkOf(record.standing.step_from);
  const upTo = new Map(from);
  const view = await openView(context, topics.conversationEvents, {
    partitions: PARTITIONS,
    from,
    onRecords(records) {
      for (const { partition, offset, value } of records) {
        if (value) evidence.add(value);
        upTo.set(partition, offset + 1);
      }
    },
  });
  return {
    key: keyOf(record),
    version: record.version,
    against,
    evidence,
    ...before,
    upTo,
    catchUp: () => view.catchUp(),
    close: () => view.close(),
  };
}

/** The evidence that a verdict on `version` rests on, read again. */
export async function readEvidence(
  { servers: { kafka }, codecs }: Pick<ServiceContext, 'servers' | 'codecs'>,
  { version, against, from, to }: Pick<StepJudged, 'against' | 'from' | 'to'> & { readonly version: string },
): Promise<RolloutEvidence> {
  const evidence = new RolloutEvidence([version, against]);
  const range = { from: watermarkOf(from), ends: watermarkOf(to) };
  for await (const { value } of readRecords({ kafka, codecs }, topics.conversationEvents, range))
    if (value) evidence.add(value);
  return evidence;
}

/** A verdict, and people's labels on the version's own answers at the time. */
type LabelledVerdict = StepVerdict & Pick<StepJudged, 'labels'>;

/** The verdict on a step, from its evidence and the log. */
export function verdictOn(
  { models }: ModelLog,
  { version, against, evidence, before }: Pick<Step, 'version' | 'against' | 'evidence' | 'before'>,
): LabelledVerdict {
  const own = evidence.of(version);
  const { answers: labels } = productionAccuracy(own.cells);
  if (before) return { ...judgeProduction(own, before), labels };
  const hasFile = models.get(against)?.standing.artifact_sha256 != null;
  return { ...judgeStep(own, evidence.of(against), { hasFile }), labels };
}

/** Judges the step and acts. Returns whether something was written. */
async function judge(
  { kafka, log: logger }: ServiceContext,
  log: ModelLogPort,
  now: ModelLog,
  step: Step,
): Promise<boolean> {
  await step.catchUp();
  const verdict = verdictOn(now, step);
  if (step.before && verdict.verdict !== 'fail') return false; // it has all the traffic already
  const ends = async () => offsetsOf(await topicEnds(kafka, topics.conversationEvents.name));
  if (!(await noteVerdict(log, step, verdict, ends))) return false;
  logger.info({ version: step.version, ...verdict }, 'a step was judged');
  return true;
}

/**
 * Notes the verdict on a step and acts on it: nothing when what is noted still says it, or the step is over. `readEnds` gives
 * the ends of conversation-events. Returns whether something was written.
 */
export async function noteVerdict(
  log: ModelLogPort,
  { key, version, against, upTo }: Pick<Step, 'key' | 'version' | 'against' | 'upTo'>,
  verdict: LabelledVerdict,
  readEnds: () => Promise<StepJudged['to']>,
): Promise<boolean> {
  const to = offsetsOf(upTo);
  const news = (now: ModelLog): StepJudged | undefined => {
    const record = now.models.get(version);
    // Somebody has changed the rollout by hand meanwhile: the evidence is about another step.
    if (!record || keyOf(record) !== key || comparedWith(now, record) !== against) return undefined;
    const { traffic_percentage, step_from: from } = record.standing;
    const judged: StepJudged = { ...verdict, against, traffic_percentage, from, to };
    return record.judged && stillSays(record.judged, judged) ? undefined : judged;
  };
  // Appending shuts out whoever else is about to, so it is not begun for nothing: a look comes every half second.
  if (!news(await log.read())) return false;
  const ends = await readEnds();
  let written = false;
  await log.append((now) => {
    const judged = news(now);
    written = judged !== undefined;
    if (!judged) return {};
    const event = judgedEvent(now, version, judged, Date.now());
    return { models: [event, ...actions(foldLog(now, { models: [event] }), version, judged, ends)] };
  });
  return written;
}

/** By so much evidence must have grown before an undecided verdict is noted anew, and before one is whose reasons are of another kind. */
const [DOUBLE, A_LITTLE] = [2, 1.1];

/**
 * Whether the verdict that was noted still tells what is so. An undecided one is noted anew when it changes, when its reasons become
 * others, and when the evidence has doubled, so that its figures are never long out of date. Not with each new conversation: a step
 * gets some hundred entries at most, because all but a change of the verdict takes a share more of labels or of the log.
 */
function stillSays(noted: StepJudged, now: StepJudged): boolean {
  const sameStep =
    noted.traffic_percentage === now.traffic_percentage && JSON.stringify(noted.from) === JSON.stringify(now.from);
  if (!sameStep || noted.verdict !== now.verdict) return false;
  const grown = (by: number) =>
    now.labels >= by * Math.max(1, noted.labels) || extent(now) >= by * Math.max(1, extent(noted));
  return !grown(wordsOf(noted) === wordsOf(now) ? DOUBLE : A_LITTLE);
}

/** Events of conversation-events that a verdict rests on. */
function extent({ from, to }: StepJudged): number {
  const sum = (ends: StepJudged['to']) => ends.reduce((total, { next_offset }) => total + next_offset, 0);
  return sum(to) - sum(from);
}

/** The reasons without their figures. */
function wordsOf({ reasons }: StepJudged): string {
  return reasons.join(' ').replaceAll(/-?[\d.]+/g, '#');
}

/** What follows from a verdict that is in the log. */
function actions(log: ModelLog, version: string, judged: StepJudged, ends: StepJudged['to']): readonly ModelEvent[] {
  const action = actOn(judged.verdict, judged.traffic_percentage);
  if (action.kind === 'hold') return [];
  const act = { by: CONTROLLER, reason: judged.reasons.join(' '), at: Date.now() };
  return action.kind === 'roll-back'
    ? rollBack(log, version, act)
    : setTraffic(log, version, action.traffic, act, ends);
}
