/** Sends the many records of one request. */
import type { ConversationProducer, Stored } from './conversation-producer.ts';
import type { ProducedEvent } from './inputs.ts';

const MAX_IN_FLIGHT = 1000;

/** Sends in slices, so that one large request does not push the records of others into the spool. @throws what `send` does */
export async function sendAll(
  producer: Pick<ConversationProducer, 'send'>,
  events: readonly ProducedEvent[],
): Promise<Stored[]> {
  const stored: Stored[] = [];
  for (let i = 0; i < events.length; i += MAX_IN_FLIGHT) {
    const outcomes = await Promise.allSettled(events.slice(i, i + MAX_IN_FLIGHT).map((event) => producer.send(event)));
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') throw outcome.reason;
      stored.push(outcome.value);
    }
  }
  return stored;
}
