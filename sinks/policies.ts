import type { PolicyAdopted } from '../schemas/types.ts';
import type { Projection } from '../stream/projection.ts';
import { topics } from '../topology.ts';

/** Every routing policy that came into force; the one with the highest log_offset is in force now. */
export const policies: Projection<PolicyAdopted> = {
  name: 'policies',
  topic: topics.adoptedPolicies,
  table: 'policies',
  key: 'version',
  columns: {
    version: 'text',
    trust: 'float8',
    doubt: 'float8',
    exceptions: 'jsonb',
    audit_share: 'float8',
    audit_salt: 'text',
    overlap_share: 'float8',
    adopted_by: 'text',
    reason: 'text',
    adopted_at: 'timestamptz',
  },
  row: ({ policy, adopted_by, reason, adopted_at }) => [
    policy.version,
    policy.thresholds.trust,
    policy.thresholds.doubt,
    JSON.stringify(policy.exceptions),
    policy.audit_share,
    policy.audit_salt,
    policy.overlap_share,
    adopted_by,
    reason,
    adopted_at,
  ],
};
