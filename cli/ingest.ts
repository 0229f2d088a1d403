import { access, constants } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command, InvalidArgumentError } from 'commander';
import { findEnvironment, prepare, producerOptions } from '../app/environment.ts';
import { untilPassed } from '../app/lag.ts';
import { liveLine, progress, UsageError } from '../app/terminal.ts';
import { createConversationProducer } from '../producers/conversation-producer.ts';
import type { ConversationProducer } from '../producers/conversation-producer.ts';
import { ingestJsonl } from '../producers/jsonl.ts';
import type { IngestResult } from '../producers/jsonl.ts';
import { reasonOf } from '../runtime/reason.ts';

const DRAIN_MS = 60_000;

/** `samvad ingest`: conversations or reviews from a file into the log. */
export function ingestCommand(): Command {
  return new Command('ingest')
    .description('send a file of conversations (or reviews), one JSON object a line')
    .argument('<file>', 'JSONL file; bad lines are reported and do not stop the others')
    .option('--reviews', 'the lines are reviews')
    .option('--rate <n>', 'at most this many lines a second', positive)
    .option('--wait', 'until all of it is in the tables, whatever else comes meanwhile')
    .option('--json', 'the counts and the refused lines, as JSON')
    .addHelpText('after', '\nThe exit code is 1 when a line was refused.')
    .action(async (file: string, options: { reviews?: boolean; rate?: number; wait?: boolean; json?: boolean }) => {
      await checkFile(file);
      const prepared = await prepare(await findEnvironment());
      const producer = await createConversationProducer(producerOptions(prepared));
      const result = await ingestJsonl({
        file,
        kind: options.reviews === true ? 'review' : 'conversation',
        producer,
        ...(options.rate !== undefined && { rate: options.rate }),
        onProgress: (lines) => liveLine(`${String(lines)} lines`),
      });
      // What was refused is known, and an outage may end this before the spool is empty.
      if (options.json === true) process.stdout.write(`${JSON.stringify(result)}\n`);
      else reportRefusals(file, result);
      await untilDrained(producer);
      await producer.close();
      if (options.json !== true)
        process.stdout.write(
          `${String(result.accepted)} of ${String(result.lines)} lines are in the log, ${String(result.rejected)} were refused.\n`,
        );
      if (options.wait === true) await untilPassed(prepared.servers, prepared.pool);
      await prepared.stop();
      if (result.rejected > 0) process.exitCode = 1;
    });
}

/** Says it before servers are asked or started. @throws UsageError when the file can't be read. */
export async function checkFile(file: string): Promise<void> {
  await access(file, constants.R_OK).catch((cause: unknown) => {
    throw new UsageError(`${file} can't be read: ${reasonOf(cause)}.`, {
      cause,
    });
  });
}

/**
 * Waits until Kafka has what an outage left in the spool of this folder, from this run or an earlier one.
 * @throws UsageError with `advice` when it has not taken anything for a minute.
 */
export async function untilDrained(
  producer: Pick<ConversationProducer, 'flush' | 'stats'>,
  advice = 'Nothing is lost: run `samvad ingest` or `samvad up` when Kafka answers; either sends them.',
): Promise<void> {
  await producer.flush();
  let [least, deadline] = [Infinity, 0];
  for (let { spoolBytes } = producer.stats(); spoolBytes > 0; { spoolBytes } = producer.stats()) {
    if (spoolBytes < least) [least, deadline] = [spoolBytes, Date.now() + DRAIN_MS];
    if (Date.now() > deadline)
      throw new UsageError(`Kafka does not take the records: ${String(spoolBytes)} bytes wait in the spool. ${advice}`);
    liveLine(`${String(spoolBytes)} bytes wait for Kafka in the spool`);
    await sleep(100);
  }
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}

/** Prints each refused line with its reason. */
export function reportRefusals(file: string, { refusals }: IngestResult): void {
  for (const { line, problems } of refusals) {
    for (const { field, message } of problems) progress(`${file}:${String(line)}: ${field}: ${message}`);
  }
}
