/**
 * The deployment controller. It puts promotable versions on trial, judges each step of a rollout on the events of the
 * canonical log since the step began, and then raises the version's traffic or takes it back. A version that got all
 * the traffic is watched for some more days. It acts only when the log has grown; time alone changes nothing. Any
 * number of copies may run; one leads.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { productionAccuracy } from '../../policy/audit.ts';
import { CONTROLLER, deploymentOf, foldLog, judgedEvent, rollBack, setTraffic } from '../../policy/model-log.ts';
import type { ModelLog, ModelRecord } from '../../policy/model-log.ts';
import { actOn, judgeProduction, judgeStep, ROLLOUT_STEPS } from '../../policy/rollout.ts';
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
/** How long a version is watched after its rollout. Later, the replaced version is no longer a valid comparison. */
const WATCH_MS = 7 * 24 * 60 * 60 * 1000;

/** The service. */
export const deploymentController = leadingService({
  name: CONTROLLER,
  does: 'rolls versions out step by step, or rolls them back',
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

/** The version to judge: the one on trial, otherwise the one in production for some days after its rollout. */
export function judgedNow(log: ModelLog, at: number): ModelRecord | undefined {
  const { production, canary } = deploymentOf(log);
  if (canary) return log.models.get(canary.version);
  const record = log.models.get(production);
  return record?.tookOver != null && at < record.tookOver + WATCH_MS ? record : undefined;
}

/** The version to compare with: the one in production, or the one that it replaced if it is judged itself. */
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
      models: setTraffic(latest, version, ROLLOUT_STEPS[0], { by: CONTROLLER, reason, at: Date.now() }, ends),
    };
  });
}

/** A step of a rollout and the evidence read so far. */
interface Step {
  readonly key: string;
  readonly version: string;
  readonly against: string;
  readonly evidence: RolloutEvidence;
  /** The evidence of `against` from the previous step, if it no longer has traffic. */
  readonly before?: ArmEvidence;
  /** The offsets up to which the evidence is read. */
  readonly upTo: Map<number, number>;
  catchUp(): Promise<void>;
  close(): Promise<void>;
}

/** Identifies a step of a rollout. */
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

/** Reads again the evidence behind a verdict on `version`. */
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

/** A verdict with the number of people's labels on the version's own answers at that time. */
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

/** Judges the step and acts. Returns whether it wrote events. */
async function judge(
  { kafka, log: logger }: ServiceContext,
  log: ModelLogPort,
  now: ModelLog,
  step: Step,
): Promise<boolean> {
  await step.catchUp();
  const verdict = verdictOn(now, step);
  if (step.before && verdict.verdict !== 'fail') return false; // it already has all the traffic
  const ends = async () => offsetsOf(await topicEnds(kafka, topics.conversationEvents.name));
  if (!(await noteVerdict(log, step, verdict, ends))) return false;
  logger.info({ version: step.version, ...verdict }, 'a step was judged');
  return true;
}

/**
 * Notes the verdict on a step and acts on it. Does nothing if the last noted verdict still applies or the step is over.
 * `readEnds` returns the ends of conversation-events. Returns whether it wrote events.
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
    // The rollout was changed by hand meanwhile, so the evidence is about another step.
    if (!record || keyOf(record) !== key || comparedWith(now, record) !== against) return undefined;
    const { traffic_percentage, step_from: from } = record.standing;
    const judged: StepJudged = { ...verdict, against, traffic_percentage, from, to };
    return record.judged && stillSays(record.judged, judged) ? undefined : judged;
  };
  // An append fences other writers, so it must not start without need: this check runs every half second.
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

/**
 * Growth of the evidence after which an undecided verdict is noted again: with the same reasons, and with different
 * reasons.
 */
const [DOUBLE, A_LITTLE] = [2, 1.1];

/**
 * Whether the noted verdict still applies. An undecided verdict is noted again when its reasons have changed or its
 * evidence has doubled, so that its figures stay recent. It is not noted for every conversation: each repetition needs
 * a relative growth of labels or events, which limits a step to some hundred entries.
 */
function stillSays(noted: StepJudged, now: StepJudged): boolean {
  const sameStep =
    noted.traffic_percentage === now.traffic_percentage && JSON.stringify(noted.from) === JSON.stringify(now.from);
  if (!sameStep || noted.verdict !== now.verdict) return false;
  const grown = (by: number) =>
    now.labels >= by * Math.max(1, noted.labels) || extent(now) >= by * Math.max(1, extent(noted));
  return !grown(wordsOf(noted) === wordsOf(now) ? DOUBLE : A_LITTLE);
}

/** The number of events of conversation-events behind a verdict. */
function extent({ from, to }: StepJudged): number {
  const sum = (ends: StepJudged['to']) => ends.reduce((total, { next_offset }) => total + next_offset, 0);
  return sum(to) - sum(from);
}

/** The reasons without their figures, for comparison. */
function wordsOf({ reasons }: StepJudged): string {
  return reasons.join(' ').replaceAll(/-?[\d.]+/g, '#');
}

/** The events that follow from a noted verdict. */
function actions(log: ModelLog, version: string, judged: StepJudged, ends: StepJudged['to']): readonly ModelEvent[] {
  const action = actOn(judged.verdict, judged.traffic_percentage);
  if (action.kind === 'hold') return [];
  const act = { by: CONTROLLER, reason: judged.reasons.join(' '), at: Date.now() };
  return action.kind === 'roll-back'
    ? rollBack(log, version, act)
    : setTraffic(log, version, action.traffic, act, ends);
}
