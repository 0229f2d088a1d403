/**
 * The state that the topics training-runs and model-events describe together, and the events that may follow. Pure
 * functions: the log is read, a function decides on the state, and its events are appended only if nobody wrote in
 * between.
 */
import type {
  ModelEvent,
  ModelMeasured,
  ModelStanding,
  OffsetUpTo,
  RunStanding,
  StepJudged,
  TrainingRunEvent,
} from '../schemas/types.ts';
import type { Deployment } from './traffic.ts';

/** The state of the log, folded from its events. */
export interface ModelLog {
  readonly runs: ReadonlyMap<string, RunStanding>;
  readonly models: ReadonlyMap<string, ModelRecord>;
  /** Versions in the order in which they came into production. A version may appear twice. */
  readonly productions: readonly string[];
}

/** A version in the log. */
export interface ModelRecord {
  readonly version: string;
  readonly standing: ModelStanding;
  /** Number of events about it. */
  readonly events: number;
  /** The last verdict noted on a step of its rollout, and when, in milliseconds since 1970. */
  readonly judged: (StepJudged & { readonly at: number }) | null;
  /** A person rolled back a version after this one was registered. It goes on trial only by hand. */
  readonly passedOver: boolean;
  /**
   * When its rollout gave it all the traffic, milliseconds since 1970; null if that did not happen or its traffic
   * changed since.
   */
  readonly tookOver: number | null;
}

/** The deployment controller's name in the log. Every other change of traffic is a person's decision. */
export const CONTROLLER = 'deployment-controller';

/** Events to append, in order, in one transaction. */
export interface Appended {
  readonly runs?: readonly TrainingRunEvent[];
  readonly models?: readonly ModelEvent[];
}

/** The state of a version or a run does not allow the change. The message is a sentence for the caller. */
export class ModelLogRefused extends Error {
  override readonly name = 'ModelLogRefused';
}

/** The log before its first event. */
export const emptyLog: ModelLog = { runs: new Map(), models: new Map(), productions: [] };

/** The log after `appended`. */
export function foldLog(log: ModelLog, { runs = [], models = [] }: Appended): ModelLog {
  const [allRuns, allModels, productions] = [new Map(log.runs), new Map(log.models), [...log.productions]];
  for (const { run_id, standing } of runs) allRuns.set(run_id, standing);
  for (const { version, at, standing, deployed, judged } of models) {
    const before = allModels.get(version);
    if (standing.status === 'production' && before?.standing.status !== 'production') productions.push(version);
    const rolledOut =
      deployed?.by === CONTROLLER && standing.status === 'production' && before?.standing.status === 'canary';
    allModels.set(version, {
      version,
      standing,
      events: (before?.events ?? 0) + 1,
      judged: judged ? { ...judged, at } : (before?.judged ?? null),
      passedOver: before?.passedOver ?? false,
      tookOver: deployed ? (rolledOut ? at : null) : (before?.tookOver ?? null),
    });
    // Versions registered by then are not put on trial again; only a newer version is.
    if (deployed && deployed.by !== CONTROLLER && standing.status === 'rolled_back')
      for (const [name, record] of allModels) allModels.set(name, { ...record, passedOver: true });
  }
  return { runs: allRuns, models: allModels, productions };
}

/** The first event of every log: the model in production before the first training, as in the user's document. */
export function firstModel(): ModelEvent {
  const at = Date.UTC(2025, 10, 13);
  return {
    version: 'router-v1.0.0',
    event_id: 'router-v1.0.0/1',
    at,
    standing: {
      ...blankStanding(at),
      status: 'production',
      traffic_percentage: 100,
      test_accuracy: 0.82,
      deployed_at: at,
    },
    ...kinds,
    deployed: { by: 'initial data', reason: 'It was in production before the first training.' },
  };
}

/** The standing of a version before anything is known about it. */
export function blankStanding(createdAt: number): ModelStanding {
  return {
    status: 'trained',
    traffic_percentage: 0,
    test_accuracy: null,
    production_accuracy: null,
    average_latency_ms: null,
    fallback_rate: null,
    training_samples: 0,
    artifact_sha256: null,
    report_sha256: null,
    page_sha256: null,
    run_id: null,
    parent_version: null,
    compared_with: null,
    verdict: null,
    reasons: [],
    data_set_sha256: null,
    consumed: [],
    step_from: [],
    created_at: createdAt,
    deployed_at: null,
  };
}

/** The versions that are currently rolled back, ordered by name. */
export function rolledBack({ models }: ModelLog): readonly string[] {
  return [...models.values()]
    .flatMap(({ version, standing }) => (standing.status === 'rolled_back' ? version : []))
    .sort();
}

/** The version in production; undefined when there is none. */
export function productionOf({ models }: Pick<ModelLog, 'models'>): ModelRecord | undefined {
  return [...models.values()].find(({ standing }) => standing.status === 'production');
}

/** The versions that get traffic now. @throws ModelLogRefused when nothing is in production. */
export function deploymentOf({ models }: ModelLog): Deployment {
  const production = productionOf({ models });
  if (!production)
    throw new ModelLogRefused('No version is in production; give one the traffic with `samvad promote VERSION`.');
  const canary = [...models.values()].find(({ standing }) => standing.status === 'canary');
  return {
    production: production.version,
    canary: canary ? { version: canary.version, traffic: canary.standing.traffic_percentage } : null,
  };
}

/** The number of the next version: one more than the highest number of a model or a run. */
export function nextVersion({ models, runs }: ModelLog): string {
  const taken = [...models.keys(), ...[...runs.values()].flatMap(({ version }) => version ?? [])];
  const minors = taken.map((version) => Number(/^router-v1\.(\d+)\./.exec(version)?.[1] ?? 0));
  return `router-v1.${Math.max(0, ...minors) + 1}.0`;
}

/** The author, time and reason of a change. */
export interface Act {
  readonly by: string;
  readonly reason: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/**
 * Registers a version. Returns no events if the same run already registered it, so repeating a run registers it once.
 * @throws ModelLogRefused when another model has the number.
 */
export function register(
  log: ModelLog,
  version: string,
  standing: ModelStanding,
  { by, at }: Act,
): readonly ModelEvent[] {
  const known = log.models.get(version)?.standing;
  if (known && known.run_id !== null && known.run_id === standing.run_id) return [];
  if (known)
    throw new ModelLogRefused(`${version} is another model already; resume the run, and it gets the next number.`);
  return [{ version, event_id: `${version}/1`, at, standing, ...kinds, registered: { by } }];
}

/**
 * Gives `version` a share of the traffic and the rest to production; at 100 it replaces production. `ends` are the end
 * offsets of conversation-events; the evidence for the next verdict begins there.
 * @throws ModelLogRefused when the version is already in production, another one is on trial, or the share is invalid
 * or unchanged.
 */
export function setTraffic(
  log: ModelLog,
  version: string,
  traffic: number,
  act: Act,
  ends: readonly OffsetUpTo[] = [],
): readonly ModelEvent[] {
  const { standing } = recordOf(log, version);
  const { production, canary } = deploymentOf(log);
  if (!Number.isInteger(traffic) || traffic < 1 || traffic > 100)
    throw new ModelLogRefused(`The traffic is ${traffic}; it must be a whole number of percent from 1 to 100.`);
  if (production === version) throw new ModelLogRefused(`${version} is in production already.`);
  if (canary && canary.version !== version)
    throw new ModelLogRefused(
      `${canary.version} is on trial with ${canary.traffic} %; let it end, or roll it back first.`,
    );
  if (standing.status === 'canary' && standing.traffic_percentage === traffic)
    throw new ModelLogRefused(`${version} has ${traffic} % of the traffic already.`);
  const share = `${version} gets ${traffic} % of the traffic.`;
  const takesOver = traffic === 100;
  return [
    // Production's event comes first, so that a reader of only part of the events never sees two versions in
    // production.
    deployed(
      log,
      production,
      { ...act, reason: share },
      takesOver ? { status: 'retired', traffic_percentage: 0 } : { traffic_percentage: 100 - traffic },
    ),
    deployed(log, version, act, {
      status: takesOver ? 'production' : 'canary',
      traffic_percentage: traffic,
      deployed_at: standing.deployed_at ?? act.at,
      step_from: ends,
    }),
  ];
}

/**
 * Takes all traffic from `version`. A canary's share goes to production; production's goes to the previous version.
 * @throws ModelLogRefused when it has no traffic, or there is no previous version.
 */
export function rollBack(log: ModelLog, version: string, act: Act): readonly ModelEvent[] {
  const { standing } = recordOf(log, version);
  const { production, canary } = deploymentOf(log);
  const gone = deployed(log, version, act, { status: 'rolled_back', traffic_percentage: 0 });
  const back = { ...act, reason: `${version} was rolled back.` };
  if (standing.status === 'canary') return [gone, deployed(log, production, back, { traffic_percentage: 100 })];
  if (standing.status !== 'production')
    throw new ModelLogRefused(`${version} is ${standing.status.replace('_', ' ')} and has no traffic to give back.`);
  if (canary) throw new ModelLogRefused(`${canary.version} is on trial; roll it back first.`);
  const before = log.productions.findLast((name) => log.models.get(name)?.standing.status === 'retired');
  if (before === undefined)
    throw new ModelLogRefused(`There is no version to go back to: none was in production before ${version}.`);
  return [gone, deployed(log, before, back, { status: 'production', traffic_percentage: 100 })];
}

/** Notes a verdict on the current step of `version`. */
export function judgedEvent(log: ModelLog, version: string, judged: StepJudged, at: number): ModelEvent {
  return { ...follow(log, version, at, {}), judged };
}

/** Notes the accuracy in production, 0 to 1, and its evidence; null when it can no longer be told. */
export function measuredEvent(
  log: ModelLog,
  version: string,
  accuracy: number | null,
  measured: Omit<ModelMeasured, 'by'>,
  { by, at }: Omit<Act, 'reason'>,
): ModelEvent {
  return { ...follow(log, version, at, { production_accuracy: accuracy }), measured: { by, ...measured } };
}

function deployed(log: ModelLog, version: string, { by, reason, at }: Act, change: Partial<ModelStanding>): ModelEvent {
  return { ...follow(log, version, at, change), deployed: { by, reason } };
}

function follow(log: ModelLog, version: string, at: number, change: Partial<ModelStanding>): ModelEvent {
  const { standing, events } = recordOf(log, version);
  return { version, event_id: `${version}/${events + 1}`, at, standing: { ...standing, ...change }, ...kinds };
}

function recordOf({ models }: ModelLog, version: string): ModelRecord {
  const record = models.get(version);
  if (!record)
    throw new ModelLogRefused(`There is no version ${version}. There are: ${[...models.keys()].join(', ')}.`);
  return record;
}

const kinds = { registered: null, deployed: null, judged: null, measured: null };
