import { drawLabel, drawTurns } from './conversation.ts';
import { writeMessage } from './message.ts';
import type { Draw } from './random.ts';

/** The lines of corpus.jsonl: `count` messages with their true labels, in the same mix as the traffic. */
export const corpusLines = (count: number, draw: Draw): string[] =>
  drawTurns(count, draw)
    .slice(0, count)
    .map(({ language, module }) => {
      const label = drawLabel(module, draw);
      return JSON.stringify({ text: writeMessage(label, language, draw).text, ...pick(label), language });
    });

const pick = ({ intent, module }: ReturnType<typeof drawLabel>) => ({ intent, module });
