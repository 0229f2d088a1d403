import { priorityClass } from '../policy/review-priority.ts';
import type { RoutingDecision } from '../schemas/types.ts';
import { symbol } from '../stream/projection.ts';
import type { Projection } from '../stream/projection.ts';
import { topics } from '../topology.ts';

/** Every conversation and where it stands. */
export const conversationLogs: Projection<RoutingDecision> = {
  name: 'conversation-logs',
  topic: topics.routingDecisions,
  table: 'conversation_logs',
  key: 'conversation_id',
  columns: {
    conversation_id: 'text',
    user_id: 'text',
    session_id: 'text',
    user_message: 'text',
    language: 'text',
    nlu_intent: 'text',
    nlu_module: 'text',
    nlu_confidence: 'float8',
    nlu_provider: 'text',
    model_version: 'text',
    entities: 'jsonb',
    routing_target: 'text',
    response_success: 'boolean',
    processing_time_ms: 'int',
    route: 'text',
    route_reasons: 'jsonb',
    policy_version: 'text',
    audit: 'boolean',
    audit_propensity: 'float8',
    review_status: 'text',
    review_priority: 'smallint',
    verdict: 'text',
    corrected_intent: 'text',
    corrected_module: 'text',
    reviewer: 'text',
    reviewed_at: 'timestamptz',
    revision: 'int',
    overlap: 'boolean',
    standing_since: 'timestamptz',
    runners_up: 'jsonb',
    created_at: 'timestamptz',
  },
  row: (decision) => {
    const { conversation: c, review } = decision;
    return [
      c.conversation_id,
      c.user_id,
      c.session_id,
      c.user_message,
      c.language,
      c.nlu_intent,
      c.nlu_module,
      c.nlu_confidence,
      c.nlu_provider,
      c.model_version,
      JSON.stringify(c.entities),
      c.routing_target,
      c.response_success,
      c.processing_time_ms,
      symbol(decision.route),
      JSON.stringify(decision.reasons),
      decision.policy_version,
      decision.audit,
      decision.audit_propensity,
      symbol(decision.review_status),
      priority(decision),
      review?.verdict ?? null,
      review?.corrected_intent ?? null,
      review?.corrected_module ?? null,
      review?.reviewer ?? null,
      review?.reviewed_at ?? null,
      decision.revision,
      decision.overlap,
      decision.standing_since,
      JSON.stringify(c.runners_up),
      c.created_at,
    ];
  },
};

/** Null if no person needs to see it. */
function priority(decision: RoutingDecision): number | null {
  return decision.route === 'auto_approved' && !decision.audit ? null : priorityClass(decision);
}
