import { Command } from 'commander';
import { producerOptions, withPrepared } from '../app/environment.ts';
import { NOT_YET, print, UsageError } from '../app/terminal.ts';
import { erase } from '../operations/erasure.ts';
import type { ErasureOutcome } from '../operations/erasure.ts';
import { createConversationProducer } from '../producers/conversation-producer.ts';
import { untilDrained } from './ingest.ts';
import { userName } from './user-name.ts';

interface Flags {
  readonly reason: string;
  readonly user?: string;
  readonly by: string;
  readonly json?: boolean;
}

/** `samvad erase`: erases a conversation, or all conversations of a user. */
export function eraseCommand(): Command {
  return new Command('erase')
    .description('erase a conversation, or all conversations of a user that are stored now')
    .argument('[conversation-id]', 'the conversation')
    .option('--user <id>', 'all conversations of this user')
    .requiredOption('--reason <text>', 'why; kept in the history, so use a case number and nothing about the person')
    .option('--by <name>', 'the person who requests it', userName())
    .option('--json', 'what was done, as JSON')
    .addHelpText(
      'after',
      `\nIt can not be undone. What is erased at once and what later: docs/erasure.md\nThe exit code is ${NOT_YET} when the request is in the log but tables still have the text after 15 seconds.`,
    )
    .action(async (id: string | undefined, { reason, user, by, json }: Flags) => {
      if ((id === undefined) === (user === undefined))
        throw new UsageError('Say what to erase: either a conversation id or --user ID.');
      const subject = id === undefined ? { user_id: user ?? '' } : { conversation_id: id };
      await withPrepared(async (prepared) => {
        const producer = await createConversationProducer(producerOptions(prepared));
        try {
          let done = await erase({ pool: prepared.pool, producer }, subject, { requested_by: by, reason });
          if (done.outcome === 'spooled') {
            await untilDrained(producer);
            done = { ...done, outcome: 'sent' };
          }
          print(json, done, sentence(done));
          if (done.outcome === 'sent') process.exitCode = NOT_YET;
        } finally {
          await producer.close();
        }
      });
    });
}

function sentence({ conversations: { length }, outcome }: ErasureOutcome): string {
  const [count, their] = length === 1 ? ['1 conversation', 'its'] : [`${length} conversations`, 'their'];
  return outcome === 'erased'
    ? `${count} erased: no table contains ${their} text any longer.`
    : `The request for ${count} is in the log, but not all components have processed it yet. Are they running?`;
}
