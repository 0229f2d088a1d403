/** Which answers may be trusted as labels. Functions of values: no clock, no chance, no other system. */
import type { ConversationCaptured, Route, RoutingDecision, RoutingPolicy, Thresholds } from '../schemas/types.ts';
import { unitHash } from './hash.ts';

export type { RoutingPolicy, Thresholds } from '../schemas/types.ts';

/** The policy in force until another is adopted, that of the user's document: > 0.85 trusted, 0.70 to 0.85 reviewed, below that reviewed first; 5 % audited, 5 % of what people see answered by two. */
export const defaultPolicy: RoutingPolicy = {
  version: 'routing-v1',
  thresholds: { trust: 0.85, doubt: 0.7 },
  exceptions: [],
  audit_share: 0.05,
  audit_salt: 'samvad-audit-1',
  overlap_share: 0.05,
};

/** What a policy says of one conversation. */
export interface Routing {
  readonly route: Route;
  readonly reasons: readonly string[];
  readonly audit: boolean;
  readonly audit_propensity: number | null;
}

/** What routing looks at. */
export type Routable = Pick<
  ConversationCaptured,
  'conversation_id' | 'language' | 'nlu_intent' | 'nlu_module' | 'nlu_confidence' | 'nlu_provider'
>;

/** Routes one conversation. Both limits belong to `needs_review`: 0.85 is not above 0.85, and 0.70 is not below 0.70. */
export function route(policy: RoutingPolicy, c: Routable): Routing {
  const { trust, doubt } = thresholdsFor(policy, c);
  const confidence = c.nlu_confidence;
  if (c.nlu_provider === 'llm') return toPeople('priority_review', 'llm-fallback');
  if (confidence === null || Number.isNaN(confidence)) return toPeople('priority_review', 'no-confidence');
  if (confidence < doubt) return toPeople('priority_review', 'low-confidence');
  if (confidence <= trust) return toPeople('needs_review', 'medium-confidence');
  if (c.nlu_provider !== 'indicbert') return toPeople('needs_review', 'untrusted-provider');
  return {
    route: 'auto_approved',
    reasons: ['high-confidence'],
    audit: unitHash(`${policy.audit_salt}/${c.conversation_id}`) < policy.audit_share,
    audit_propensity: policy.audit_share,
  };
}

/** The thresholds that hold for a conversation. */
function thresholdsFor(policy: RoutingPolicy, c: Routable): Thresholds {
  const exception = policy.exceptions.find(
    ({ module, intent, language }) =>
      (module ?? c.nlu_module) === c.nlu_module &&
      (intent ?? c.nlu_intent) === c.nlu_intent &&
      (language ?? c.language) === c.language,
  );
  return exception?.thresholds ?? policy.thresholds;
}

function toPeople(to: Route, reason: string): Routing {
  return { route: to, reasons: [reason], audit: false, audit_propensity: null };
}

/** The first decision on a conversation. */
export function decide(policy: RoutingPolicy, conversation: ConversationCaptured): RoutingDecision {
  const routing = route(policy, conversation);
  const overlap = answersWanted(policy, conversation.conversation_id, routing) > 1;
  return unanswered(conversation, routing, policy.version, overlap);
}

/** How many people are asked about a conversation: none, one, or two to see how far they agree. */
export function answersWanted(policy: RoutingPolicy, id: string, routing: Routing): 0 | 1 | 2 {
  if (routing.route === 'auto_approved' && !routing.audit) return 0;
  return unitHash(`${policy.audit_salt}/overlap/${id}`) < policy.overlap_share ? 2 : 1;
}

/**
 * A decision that nobody has reviewed yet, from what the router said. Field by field: it is made for every conversation, and to spread
 * one object into another took most of the router's own time (2.5 µs in place of 0.2).
 */
export function unanswered(
  conversation: ConversationCaptured,
  { route: way, reasons, audit, audit_propensity }: Routing,
  policyVersion: string,
  overlap: boolean,
): RoutingDecision {
  return {
    conversation_id: conversation.conversation_id,
    conversation,
    route: way,
    reasons,
    audit,
    audit_propensity,
    policy_version: policyVersion,
    overlap,
    review_status: way === 'auto_approved' ? 'auto_approved' : 'needs_review',
    review: null,
    revision: 0,
    answers: [],
    withdrawn: [],
    standing_since: null,
    undone: false,
  };
}
