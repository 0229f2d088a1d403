import { reviewItem } from '../policy/review-priority.ts';
import type { ReviewItem } from '../schemas/types.ts';
import type { Processor } from '../stream/processor.ts';
import { emit, on } from '../stream/processor.ts';
import { topics } from '../topology.ts';

/** Keeps the queue of what waits for a person: an item when it starts to wait, a tombstone when it is answered. */
export const reviewPrioritizer: Processor<ReviewItem> = {
  name: 'review-prioritizer',
  does: 'scores what waits for a person, takes out what was answered',
  table: topics.reviewQueue,
  outputs: [],
  inputs: [
    on(topics.routingDecisions, ({ value: decision, timestamp }, queue) => {
      const item = reviewItem(decision);
      if (item) return [emit(topics.reviewQueue, item.conversation_id, item, timestamp)];
      const id = decision.conversation_id;
      return queue.get(id) ? [emit(topics.reviewQueue, id, null, timestamp)] : [];
    }),
  ],
};
