import { Command } from 'commander';
import { createConversationProducer } from '../producers/conversation-producer.ts';
import { ingestJsonl } from '../producers/jsonl.ts';
import type { IngestResult } from '../producers/jsonl.ts';
import { findEnvironment, prepare, producerOptions } from './environment.ts';
import { untilCaughtUp } from './lag.ts';
import { liveLine, progress } from './terminal.ts';

/** `samvad ingest`: conversations or reviews from a file into the log. */
export function ingestCommand(): Command {
  return new Command('ingest')
    .description('send a file of conversations (or reviews), one JSON object a line')
    .argument('<file>', 'JSONL file; bad lines are reported and do not stop the others')
    .option('--reviews', 'the lines are reviews')
    .option('--rate <n>', 'at most this many lines a second', Number)
    .option('--wait', 'until every component has caught up')
    .action(async (file: string, options: { reviews?: boolean; rate?: number; wait?: boolean }) => {
      const prepared = await prepare(await findEnvironment());
      const producer = await createConversationProducer(producerOptions(prepared));
      const result = await ingestJsonl({
        file,
        kind: options.reviews === true ? 'review' : 'conversation',
        producer,
        ...(options.rate !== undefined && { rate: options.rate }),
        onProgress: (lines) => liveLine(`${String(lines)} lines`),
      });
      await producer.close();
      reportRefusals(file, result);
      process.stdout.write(
        `${String(result.accepted)} of ${String(result.lines)} lines are in the log, ${String(result.rejected)} were refused.\n`,
      );
      if (options.wait === true) await untilCaughtUp(prepared.servers, prepared.pool);
      await prepared.stop();
      if (result.rejected > 0) process.exitCode = 1;
    });
}

/** Prints each refused line with its reason. */
export function reportRefusals(file: string, { refusals }: IngestResult): void {
  for (const { line, problems } of refusals) {
    for (const { field, message } of problems) progress(`${file}:${String(line)}: ${field}: ${message}`);
  }
}
