/** The serving side of this process: the versions in charge, as the model log says. */
import type { RoutingPolicy } from '../policy/routing.ts';
import { openClassifier } from '../serving/classifier.ts';
import type { Classifier } from '../serving/classifier.ts';
import { followModels } from '../serving/follow-models.ts';
import { openModelShelf } from '../serving/model-shelf.ts';
import { latestPolicy } from '../status/latest-policy.ts';
import { servingPlaces } from '../trainer/recipe.ts';
import { artifactsOf } from './environment.ts';
import type { Prepared } from './environment.ts';

/** Answers texts until it is stopped. */
export interface Serving {
  readonly classifier: Pick<Classifier, 'classify' | 'readiness' | 'refused'>;
  readonly policy: () => Promise<RoutingPolicy>;
  stop(): Promise<void>;
}

/** Starts to follow the model log. Returns at once. */
export function startServing({ config, servers, codecs, pool, measurements, log: parent }: Prepared): Serving {
  const log = parent.child({ component: 'serving' });
  const shelf = openModelShelf({ artifacts: artifactsOf(config), places: servingPlaces(config.training) });
  const classifier = openClassifier(shelf, log, measurements.classified);
  const follower = followModels({
    kafka: servers.kafka,
    codecs,
    log,
    onChange: (models) => classifier.follow(models),
  });
  follower.finished.catch((error: unknown) => log.error({ error: String(error) }, 'the model log is no longer read'));
  return {
    classifier,
    policy: latestPolicy(pool),
    async stop() {
      await follower.stop().catch(() => undefined);
      await classifier.close();
    },
  };
}
