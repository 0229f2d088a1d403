/** A producer that keeps records in an array; `obstacle` may throw instead. */
import type { ConversationProducer, Stored } from '../../producers/conversation-producer.ts';
import type { ProducedEvent } from '../../producers/inputs.ts';

/** Stands in for a producer in tests of the code that calls one. */
export function memoryProducer(
  obstacle: (event: ProducedEvent) => void = () => undefined,
): Pick<ConversationProducer, 'send'> & { readonly events: ProducedEvent[] } {
  const events: ProducedEvent[] = [];
  return {
    events,
    async send(event): Promise<Stored> {
      await Promise.resolve();
      obstacle(event);
      events.push(event);
      return { conversation_id: event.record.conversation_id, stored: 'kafka' };
    },
  };
}
