import { decide, defaultPolicy } from '../policy/routing.ts';
import { applyReview } from '../policy/standing.ts';
import type { RoutingDecision } from '../schemas/types.ts';
import { Poison } from '../stream/poison.ts';
import type { Processor } from '../stream/processor.ts';
import { emit, on } from '../stream/processor.ts';
import { topics } from '../topology.ts';

/** Decides which answers may be trusted, and updates each conversation's standing after its reviews. */
export const confidenceRouter: Processor<RoutingDecision> = {
  name: 'confidence-router',
  does: 'routes by confidence and provider, chooses the audit slice, applies reviews, drops what was erased',
  table: topics.routingDecisions,
  outputs: [],
  inputs: [
    on(
      topics.conversationEvents,
      ({ value: { conversation_id: id, captured, reviewed, erased, policy } }, decisions) => {
        if (captured) {
          const decision = decide(policy ?? defaultPolicy, captured);
          return [emit(topics.routingDecisions, id, decision, captured.created_at)];
        }
        if (erased) return decisions.get(id) ? [emit(topics.routingDecisions, id, null, erased.requested_at)] : [];
        if (!reviewed) return []; // a kind of event that this version does not know
        const decision = decisions.get(id);
        if (!decision)
          throw new Poison('review-before-conversation', `The log holds a review of ${id} before ${id} itself.`);
        return [emit(topics.routingDecisions, id, applyReview(decision, reviewed), reviewed.reviewed_at)];
      },
    ),
  ],
};
