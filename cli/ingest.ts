import { access, constants } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { producerOptions, withPrepared } from '../app/environment.ts';
import { untilPassed } from '../app/lag.ts';
import { liveLine, plain, printText, progress, UsageError } from '../app/terminal.ts';
import { createConversationProducer } from '../producers/conversation-producer.ts';
import type { ConversationProducer } from '../producers/conversation-producer.ts';
import { ingestJsonl } from '../producers/jsonl.ts';
import type { IngestResult } from '../producers/jsonl.ts';
import { reasonOf } from '../runtime/reason.ts';
import { positive } from './options.ts';

const DRAIN_MS = 60_000;

/** `samvad ingest`: sends conversations or reviews from a file to the log. */
export function ingestCommand(): Command {
  return new Command('ingest')
    .description('send a file of conversations or reviews, one JSON object per line')
    .argument('<file>', 'JSONL file, may be .gz; invalid lines are reported, the others are sent')
    .option('--reviews', 'the lines are reviews')
    .option('--rate <n>', 'at most this many lines per second', positive)
    .option('--wait', 'wait until all of it is in the tables')
    .option('--json', 'the counts and the refused lines, as JSON')
    .addHelpText('after', '\nThe exit code is 1 when a line was refused.')
    .action(async (file: string, options: { reviews?: boolean; rate?: number; wait?: boolean; json?: boolean }) => {
      await checkFile(file);
      await withPrepared(async (prepared) => {
        const producer = await createConversationProducer(producerOptions(prepared));
        const result = await ingestJsonl({
          file,
          kind: options.reviews === true ? 'review' : 'conversation',
          producer,
          ...(options.rate !== undefined && { rate: options.rate }),
          onProgress: (lines) => liveLine(`${lines} lines`),
        });
        const { accepted, lines, rejected } = result;
        // Before the spool is empty, because an outage may end this command while it waits for that.
        if (options.json === true) printText(JSON.stringify(result));
        else reportRefusals(file, result);
        await untilDrained(producer);
        await producer.close();
        if (options.json !== true) printText(`${accepted} of ${lines} lines are in the log, ${rejected} were refused.`);
        if (options.wait === true) await untilPassed(prepared.servers, prepared.pool);
        if (rejected > 0) process.exitCode = 1;
      });
    });
}

/** Checks the file before servers are contacted or started. @throws UsageError when it can't be read. */
export async function checkFile(file: string): Promise<void> {
  await access(file, constants.R_OK).catch((cause: unknown) => {
    throw new UsageError(`${file} can't be read: ${reasonOf(cause)}.`, {
      cause,
    });
  });
}

/**
 * Waits until Kafka has the records that an outage left in the spool of this data folder, from this run or an earlier one.
 * @throws UsageError with `advice` when Kafka has accepted nothing for a minute.
 */
export async function untilDrained(
  producer: Pick<ConversationProducer, 'flush' | 'stats'>,
  advice = 'Nothing is lost: `samvad ingest` or `samvad up` sends them when Kafka answers again.',
): Promise<void> {
  await producer.flush();
  let [least, deadline] = [Infinity, 0];
  for (let { spoolBytes } = producer.stats(); spoolBytes > 0; { spoolBytes } = producer.stats()) {
    if (spoolBytes < least) [least, deadline] = [spoolBytes, Date.now() + DRAIN_MS];
    if (Date.now() > deadline)
      throw new UsageError(
        `Kafka does not accept the records: ${String(spoolBytes)} bytes wait in the spool. ${advice}`,
      );
    liveLine(`${String(spoolBytes)} bytes wait for Kafka in the spool`);
    await sleep(100);
  }
  liveLine('');
}

/** Prints each refused line with its reason. */
export function reportRefusals(file: string, { refusals }: IngestResult): void {
  for (const { line, problems } of refusals) {
    for (const { field, message } of problems) progress(plain(`${file}:${String(line)}: ${field}: ${message}`));
  }
}
