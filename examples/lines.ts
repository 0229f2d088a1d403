import { type Conversation, type Known, converse, uuidOf } from './conversation.ts';
import type { Draw } from './random.ts';

/** A line and where it belongs: `after` the conversation with that index, in time order. */
interface Placed {
  readonly after: number;
  readonly line: string;
}

const redeliveries = 60;
const reusedIds = 8;

/** Lines that a reader must refuse without stopping. Each is a valid conversation with one fault. */
const faults: readonly { readonly fault: string; readonly spoil: (good: Conversation) => string }[] = [
  { fault: 'JSON cut off in the middle', spoil: (good) => JSON.stringify(good).slice(0, 120) },
  { fault: 'no conversation_id', spoil: (good) => JSON.stringify({ ...good, conversation_id: undefined }) },
  { fault: 'confidence 1.7', spoil: (good) => JSON.stringify({ ...good, nlu_confidence: 1.7 }) },
  { fault: 'unknown provider', spoil: (good) => JSON.stringify({ ...good, nlu_provider: 'crystal-ball' }) },
  { fault: 'created_at "yesterday"', spoil: (good) => JSON.stringify({ ...good, created_at: 'yesterday' }) },
  {
    fault: 'created_at in the year 2190',
    spoil: (good) => JSON.stringify({ ...good, created_at: good.created_at.replace('2026', '2190') }),
  },
  {
    fault: 'user_message as a number',
    spoil: (good) => JSON.stringify({ ...good, user_message: 42, entities: undefined }),
  },
  {
    fault: 'an entity named __proto__',
    spoil: (good) =>
      JSON.stringify({
        ...good,
        entities: [{ name: '__proto__', value: good.user_message, start: 0, end: good.user_message.length }],
      }),
  },
];

/** The lines of conversations.jsonl: every conversation once, with redelivered, contradicting and malformed lines in between. */
export const conversationLines = (known: readonly Known[], draw: Draw): string[] => {
  const any = (): { readonly index: number; readonly good: Conversation } => {
    const index = draw.whole(0, known.length - 300);
    return { index, good: draw.pick(known.slice(index, index + 1)).conversation };
  };
  const again = Array.from({ length: redeliveries }, (): Placed => {
    const { index, good } = any();
    return { after: index + draw.whole(1, 40), line: JSON.stringify(good) };
  });
  const contradicting = Array.from({ length: reusedIds }, (): Placed => {
    const { index, good } = any();
    const after = index + draw.whole(5, 60);
    const at = Date.parse(draw.pick(known.slice(after, after + 1)).conversation.created_at) + 1;
    const other = converse(
      good.conversation_id,
      { language: 'en', module: draw.pick(['food', 'ride', 'payment']), at },
      draw,
    );
    return { after, line: JSON.stringify(other.conversation) };
  });
  const broken = faults.map(({ spoil }, number): Placed => {
    const { index, good } = any();
    return { after: index, line: spoil({ ...good, conversation_id: uuidOf(`broken ${number}`) }) };
  });
  const added = [...again, ...contradicting, ...broken];
  return known.flatMap(({ conversation }, index) => [
    JSON.stringify(conversation),
    ...added.filter(({ after }) => after === index).map(({ line }) => line),
  ]);
};
