import { reviewItem } from '../policy/review-priority.ts';
import type { ReviewItem } from '../schemas/types.ts';
import type { Emission, LogRecord, Processor, Table } from '../stream/processor.ts';
import { emit, onTable } from '../stream/processor.ts';
import { topics } from '../topology.ts';

/** Keeps the queue of what waits for a person: an item when it starts to wait, a tombstone when it is answered. */
export const reviewPrioritizer: Processor<ReviewItem> = {
  name: 'review-prioritizer',
  does: 'scores what waits for a person, removes what was answered or erased',
  table: topics.reviewQueue,
  lingers: true,
  outputs: [],
  inputs: [
    onTable(
      topics.routingDecisions,
      (record, queue) => {
        const item = reviewItem(record.value);
        return item ? [emit(topics.reviewQueue, item.conversation_id, item, record.timestamp)] : remove(record, queue);
      },
      remove,
    ),
  ],
};

function remove({ key, timestamp }: LogRecord<unknown>, queue: Table<ReviewItem>): readonly Emission[] {
  return queue.get(key) ? [emit(topics.reviewQueue, key, null, timestamp)] : [];
}
