// Generates examples/conversations.jsonl, reviews.jsonl and corpus.jsonl, with the same bytes on every run.
// `npx tsx examples/generate.ts` writes them; with `--stats` it prints their counts and writes nothing.
import { writeFileSync } from 'node:fs';
import { converse, drawTurns, uuidOf } from './conversation.ts';
import { conversationLines } from './lines.ts';
import { corpusLines } from './corpus.ts';
import { createDraw } from './random.ts';
import { drawReviews, reviewLines } from './reviews.ts';
import { describe } from './stats.ts';

const conversations = 3_720;

// A seed for each kind of line, so that a change to the reviews leaves the conversations as they are.
const turns = drawTurns(conversations, createDraw(20261001));
const talk = createDraw(20261002);
const known = turns.map((turn, index) => converse(uuidOf(`conversation ${index}`), turn, talk));
const lines = conversationLines(known, createDraw(20261003));
const reviews = drawReviews(known, createDraw(20261004));
const corpus = corpusLines(3_000, createDraw(20261005));

if (process.argv.includes('--stats')) {
  console.log(describe(known, lines, reviews));
} else {
  const write = (name: string, content: readonly string[]): void => {
    writeFileSync(new URL(name, import.meta.url), `${content.join('\n')}\n`);
    console.log(`examples/${name}: ${content.length} lines`);
  };
  write('conversations.jsonl', lines);
  write('reviews.jsonl', reviewLines(reviews));
  write('corpus.jsonl', corpus);
}
