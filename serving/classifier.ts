/** Answers texts with the versions that the model log gives traffic; each conversation always gets the same version. */
import type { Logger } from 'pino';
import { groupBy } from '../policy/group-by.ts';
import { deploymentOf } from '../policy/model-log.ts';
import type { ModelLog } from '../policy/model-log.ts';
import { redactText } from '../policy/redaction.ts';
import { route } from '../policy/routing.ts';
import type { RoutingPolicy } from '../policy/routing.ts';
import { versionFor } from '../policy/traffic.ts';
import type { Deployment } from '../policy/traffic.ts';
import { symbol } from '../stream/projection.ts';
import { isRefusal } from '../trainer/learning/model.ts';
import type { Answer, Model } from '../trainer/learning/model.ts';
import type { ModelShelf } from './model-shelf.ts';

/** A text to classify. */
export interface Question {
  readonly text: string;
  /** BCP 47 tag; the policy may have thresholds for it. */
  readonly language: string;
  /** Selects the version while the traffic is split; when null, the text does. */
  readonly conversationId: string | null;
}

/** The answer of the version in charge, and how the policy would route it. */
export interface Classification {
  readonly intent: string;
  readonly module: string;
  /** 0 to 1, calibrated. */
  readonly confidence: number;
  /** The confidence is below the model's threshold: probably none of its intents applies. */
  readonly out_of_scope: boolean;
  readonly runners_up: Answer['runnersUp'];
  readonly version: string;
  readonly route: string;
  readonly route_reasons: readonly string[];
  readonly policy_version: string;
}

/** There is no answer from here: the reason, and the version in charge. */
export interface Unserved {
  readonly version: string;
  readonly problem: string;
}

/**
 * Called with the results that one version gave for a request, or with the reasons for none, and the duration in
 * seconds, including the time to load the model.
 */
export type OnClassified = (results: readonly (Classification | Unserved)[], seconds: number) => void;

/** Classifies by the log that it was last given. */
export interface Classifier {
  /** One result per question, in order. */
  classify(questions: readonly Question[], policy: RoutingPolicy): Promise<readonly (Classification | Unserved)[]>;
  /** Applies a new state of the log at once; versions that get traffic are loaded in the background. */
  follow(models: ModelLog): void;
  /**
   * `ok`, or why no text can be answered yet. A version that can't be loaded is no reason, because another one answers
   * in its place.
   */
  readiness(): string;
  /** The versions in charge that can't be served, and why. */
  refused(): Readonly<Record<string, string>>;
  close(): Promise<void>;
}

const NOT_READ = 'The model log has not been read yet; try again soon.';
const PROBE = 'where is my order';

/** A classifier that knows no version yet. */
export function openClassifier(
  shelf: ModelShelf,
  log: Logger,
  onClassified: OnClassified = () => undefined,
): Classifier {
  let models: ModelLog | undefined;
  /** Why a version in charge can't be served, by version. */
  const refused = new Map<string, string>();

  /** Runs `work` with the first of `versions` that can be served. */
  async function withFirst<T>(
    versions: readonly string[],
    work: (model: Model, version: string) => Promise<T>,
  ): Promise<T | Unserved> {
    for (const version of versions) {
      const sha256 = models?.models.get(version)?.standing.artifact_sha256;
      if (sha256 === null || sha256 === undefined) {
        const why = refused.get(versions[0] ?? '');
        const before = why === undefined ? '' : ` ${versions[0] ?? ''} is not served: ${why}`;
        return { version, problem: `${version} has no file here; the system that it belongs to answers.${before}` };
      }
      try {
        const result = await shelf.use(sha256, (model) => work(model, version));
        refused.delete(version);
        return result;
      } catch (error) {
        if (!isRefusal(error)) throw error;
        if (refused.get(version) !== error.message) log.error({ version, reason: error.message }, 'version refused');
        refused.set(version, error.message);
      }
    }
    return { version: versions[0] ?? '', problem: refused.get(versions[0] ?? '') ?? NOT_READ };
  }

  return {
    async classify(questions, policy) {
      if (!models) return questions.map(() => ({ version: '', problem: NOT_READ }));
      const now = models;
      const deployment = deploymentOf(now);
      const results = new Array<Classification | Unserved>(questions.length);
      for (const [version, places] of byVersion(deployment, questions)) {
        const began = performance.now();
        const asked = places.flatMap((place) => questions[place] ?? []);
        const outcome = await withFirst(candidates(now, deployment, version), async (model, by) => ({
          by,
          answers: await model.classify(asked.map(({ text }) => redactText(text))), // masked like the texts that models are trained on
        }));
        const answers = asked.map((question, i) =>
          'problem' in outcome ? outcome : classification(question, outcome.by, outcome.answers[i], policy),
        );
        onClassified(answers, (performance.now() - began) / 1000);
        answers.forEach((answer, i) => (results[places[i] ?? 0] = answer));
      }
      return results;
    },
    follow(next) {
      models = next;
      const { production, canary } = deploymentOf(next);
      const inCharge = [production, ...(canary ? [canary.version] : [])];
      for (const version of refused.keys()) if (!inCharge.includes(version)) refused.delete(version);
      for (const version of inCharge) {
        withFirst([version], (model) => model.classify([PROBE])).catch((error: unknown) =>
          log.error({ version, error: String(error) }, 'a version could not be tried'),
        );
      }
    },
    readiness: () => (models ? 'ok' : NOT_READ),
    refused: () => Object.fromEntries(refused),
    close: () => shelf.close(),
  };
}

function byVersion(deployment: Deployment, questions: readonly Question[]): ReadonlyMap<string, readonly number[]> {
  const versions = questions.map(({ conversationId, text }) => versionFor(deployment, conversationId ?? text));
  return groupBy(versions.keys(), (i) => versions[i] ?? '');
}

/**
 * `version`, then its substitutes: production, then earlier production versions, latest first, without those rolled
 * back.
 */
function candidates({ models, productions }: ModelLog, { production }: Deployment, version: string): readonly string[] {
  const before = productions.filter((name) => models.get(name)?.standing.status !== 'rolled_back');
  return [...new Set([version, production, ...before.toReversed()])];
}

function classification(
  { language, conversationId }: Question,
  version: string,
  answer: Answer | undefined,
  policy: RoutingPolicy,
): Classification {
  if (!answer) throw new Error(`${version} gave fewer answers than there were texts.`);
  const { intent, module, confidence, outOfScope, runnersUp } = answer;
  const routing = route(policy, {
    conversation_id: conversationId ?? '',
    language,
    nlu_intent: intent,
    nlu_module: module,
    nlu_confidence: confidence,
    nlu_provider: 'indicbert', // the provider whose answers the policy may trust: a model trained here
  });
  return {
    intent,
    module,
    confidence,
    out_of_scope: outOfScope,
    runners_up: runnersUp,
    version,
    route: symbol(routing.route),
    route_reasons: routing.reasons,
    policy_version: policy.version,
  };
}
