import type { ModelEvent } from '../schemas/types.ts';
import { symbol } from '../stream/projection.ts';
import type { Projection } from '../stream/projection.ts';
import { topics } from '../topology.ts';

/** The audit trail: a row for each change of a version's status or share of the traffic. */
export const modelDeployments: Projection<ModelEvent> = {
  name: 'model-deployments',
  topic: topics.modelEvents,
  table: 'model_deployments',
  key: 'id',
  keyOf: ({ event_id }) => event_id,
  columns: {
    id: 'text',
    version: 'text',
    status: 'text',
    traffic_percentage: 'int',
    deployed_by: 'text',
    reason: 'text',
    deployed_at: 'timestamptz',
  },
  row: ({ event_id, version, standing, deployed, at }) =>
    deployed
      ? [event_id, version, symbol(standing.status), standing.traffic_percentage, deployed.by, deployed.reason, at]
      : undefined,
};
