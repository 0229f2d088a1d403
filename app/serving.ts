/** Serving in this process: the deployed versions and the policy in force, as in the log. */
import type { ModelLog } from '../policy/model-log.ts';
import { defaultPolicy } from '../policy/routing.ts';
import type { RoutingPolicy } from '../policy/routing.ts';
import { openClassifier } from '../serving/classifier.ts';
import type { Classifier } from '../serving/classifier.ts';
import { followModels } from '../serving/follow-models.ts';
import { openModelShelf } from '../serving/model-shelf.ts';
import { servingPlaces } from '../trainer/learning/recipe.ts';
import { artifactsOf } from './environment.ts';
import type { Connected, PreparedLog } from './environment.ts';

/** Answers texts until it is stopped. */
export interface Serving {
  readonly classifier: Pick<Classifier, 'classify' | 'readiness' | 'refused'>;
  readonly policy: () => RoutingPolicy;
  /** The model log; undefined before it is read. */
  readonly models: () => ModelLog | undefined;
  stop(): Promise<void>;
}

/** Starts to follow the log and returns at once. Postgres may be down. */
export function startServing({
  config,
  servers,
  codecs,
  measurements,
  log: parent,
}: PreparedLog & Pick<Connected, 'measurements' | 'log'>): Serving {
  const log = parent.child({ component: 'serving' });
  const shelf = openModelShelf({ artifacts: artifactsOf(config), places: servingPlaces(config.training) });
  const classifier = openClassifier(shelf, log, measurements.classified);
  let policy: RoutingPolicy = defaultPolicy; // not used before the log is read
  let models: ModelLog | undefined;
  const follower = followModels({
    kafka: servers.kafka,
    codecs,
    log,
    onChange(now, inForce) {
      [models, policy] = [now, inForce];
      classifier.follow(now);
    },
  });
  follower.finished.catch((error: unknown) => log.error({ error: String(error) }, 'the model log is no longer read'));
  return {
    classifier,
    policy: () => policy,
    models: () => models,
    async stop() {
      await follower.stop().catch(() => undefined);
      await classifier.close();
    },
  };
}
