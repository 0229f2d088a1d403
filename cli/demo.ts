import path from 'node:path';
import { Command } from 'commander';
import { startComponents } from '../app/components.ts';
import { producerOptions } from '../app/environment.ts';
import type { Prepared } from '../app/environment.ts';
import { onFreshServers } from '../app/fresh.ts';
import { lagLine, untilCaughtUp } from '../app/lag.ts';
import { readSummary } from '../app/summary.ts';
import type { Counts, Summary } from '../app/summary.ts';
import { bar, columns, liveLine, print, progress, style } from '../app/terminal.ts';
import { createConversationProducer } from '../producers/conversation-producer.ts';
import type { ConversationProducer } from '../producers/conversation-producer.ts';
import { ingestJsonl } from '../producers/jsonl.ts';
import type { IngestResult } from '../producers/jsonl.ts';
import { DeadLetterIndex } from '../runtime/dead-letters.ts';
import { deadLetterLog } from '../app/dead-letters.ts';
import { percent } from '../policy/percent.ts';
import { checkFile, reportRefusals, untilDrained } from './ingest.ts';

const EXAMPLES = path.join(import.meta.dirname, '..', 'examples');

/** `samvad demo`: the whole pipeline, end to end, on a fresh data folder. */
export function demoCommand(): Command {
  return new Command('demo')
    .description(
      'start everything on a fresh data folder, send the example traffic through it, print a summary and exit',
    )
    .option('--input <file>', 'conversations to send instead of the examples, one JSON object per line')
    .option('--keep', 'keep the data folder')
    .option('--json', 'the summary as JSON')
    .action(async ({ input, keep, json }: { input?: string; keep?: boolean; json?: boolean }) => {
      if (input !== undefined) await checkFile(input);
      await onFreshServers(
        'demo',
        keep === true,
        (config) => config,
        (prepared) => runDemo(prepared, input, json),
      );
    });
}

async function runDemo(prepared: Prepared, input: string | undefined, json = false): Promise<void> {
  progress('Topics, schemas and tables are in place; starting processors and projections.');
  const components = await startComponents(['pipeline'], prepared);
  const producer = await createConversationProducer(producerOptions(prepared));
  const started = Date.now();
  const { conversations, reviews } = await sendTraffic(producer, input).finally(() => producer.close());
  await Promise.race([
    components.failed,
    untilCaughtUp(prepared.servers, prepared.pool, (lags) => liveLine(lagLine(lags))),
  ]);
  liveLine('');
  const seconds = (Date.now() - started) / 1000;
  const letters = new DeadLetterIndex(deadLetterLog(prepared));
  await letters.update();
  const summary = await readSummary(prepared.pool);
  const { rows } = await prepared.pool.query<{ confidence: number | null }>(
    'SELECT avg(nlu_confidence)::float8 AS confidence FROM conversation_logs',
  );
  await components.stop();
  const run: RunFigures = {
    sent: conversations.accepted,
    refused: conversations.rejected,
    reviews,
    deadLetters: letters.open,
    seconds,
    averageConfidence: rows[0]?.confidence ?? null,
  };
  print(json, { run, ...summary }, render(summary, run));
}

/** Sends the file, or the examples with their reviews. Resolves once Kafka has all of them, because the spool is deleted with the data folder. */
export async function sendTraffic(
  producer: Pick<ConversationProducer, 'send' | 'flush' | 'stats'>,
  input: string | undefined,
): Promise<{ readonly conversations: IngestResult; readonly reviews: number }> {
  const file = input ?? path.join(EXAMPLES, 'conversations.jsonl');
  progress(`Sending ${path.relative(process.cwd(), file)} …`);
  const conversations = await ingestJsonl({ file, kind: 'conversation', producer });
  reportRefusals(path.basename(file), conversations);
  let reviews = 0;
  if (input === undefined) {
    const sent = await ingestJsonl({ file: path.join(EXAMPLES, 'reviews.jsonl'), kind: 'review', producer });
    reportRefusals('reviews.jsonl', sent);
    reviews = sent.accepted;
  }
  await untilDrained(producer, 'Try again when this machine is less busy.');
  return { conversations, reviews };
}

interface RunFigures {
  readonly sent: number;
  readonly refused: number;
  readonly reviews: number;
  readonly deadLetters: number;
  readonly seconds: number;
  /** 0 to 1; null when no conversation has a confidence. */
  readonly averageConfidence: number | null;
}

function render(summary: Summary, run: RunFigures): string {
  const share = (counts: Counts) => {
    const total = counts.reduce((sum, { count }) => sum + count, 0);
    return columns(counts.map(({ name, count }) => [name, count, percent(count / total), bar(count / total)]));
  };
  const { sent, refused, reviews, deadLetters, seconds } = run;
  return `
${style('bold', 'Samvad: summary of the run')}

${columns([
  ['lines sent', sent],
  ['lines refused before sending', refused],
  ['reviews sent', reviews],
  ['conversations in the log', summary.totals.conversations],
  ['dead letters', deadLetters],
  ['seconds until all tables were up to date', Math.round(seconds * 10) / 10],
  ['records a second, end to end', Math.round((sent + reviews) / seconds)],
])}

${style('bold', 'Routes')}
${share(summary.routes)}

${style('bold', 'Standing')}
${share(summary.statuses)}

  waiting for a person      ${summary.totals.waiting.toLocaleString('en-IN')}
  auto-approval rate        ${percent(summary.autoApprovalRate)}
  average confidence        ${run.averageConfidence?.toFixed(3) ?? '–'}
  approved training samples ${summary.totals.samples.toLocaleString('en-IN')}

${style('bold', 'Samples by module')}
${share(summary.samplesByModule)}

${style('bold', 'Samples by language')}
${share(summary.samplesByLanguage)}

Next: \`npm start\` keeps it running; \`npx samvad topology\` draws it; \`npx samvad ingest FILE.jsonl\` sends your own traffic.`;
}
