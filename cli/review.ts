import { Command, Option } from 'commander';
import { producerOptions, withPrepared } from '../app/environment.ts';
import { columns, plain, print, UsageError } from '../app/terminal.ts';
import { idProblems } from '../policy/validation.ts';
import { createConversationProducer } from '../producers/conversation-producer.ts';
import type { QueueFilter } from '../review/filter.ts';
import { readQueue } from '../review/tasks.ts';
import { untilDrained } from './ingest.ts';
import { converse, PROMPT_HELP } from './review-prompt.ts';
import { userName } from './user-name.ts';

interface ReviewFlags extends QueueFilter {
  readonly reviewer: string;
  readonly first?: string;
  readonly json?: boolean;
  readonly list?: boolean;
}

const LISTED = 20;

/** `samvad review`: answers the queue in the terminal, line by line, which works with screen readers and pipes. */
export function reviewCommand(): Command {
  return new Command('review')
    .description('answer the conversations that wait for a person, most useful first')
    .option('--reviewer <name>', 'your name as a reviewer', reviewerOption, userName())
    .option('--module <name>', 'only this module')
    .option('--language <tag>', 'only this language')
    .addOption(new Option('--route <route>', 'only this route').choices(['needs-review', 'priority-review']))
    .option('--first <id>', 'begin with this conversation')
    .option('--list', `print the first ${LISTED} of the queue and exit`)
    .option('--json', 'with --list: as JSON')
    .addHelpText('after', `\nAt the prompt:\n${PROMPT_HELP}\n\nItems are reserved for you for ten minutes.`)
    .action(({ reviewer, json, list, first, ...filter }: ReviewFlags) =>
      withPrepared(async (prepared) => {
        const { pool } = prepared;
        if (list === true || json === true) {
          const queue = await readQueue(pool, filter, LISTED, 0);
          return print(json, queue, table(queue), 2);
        }
        const producer = await createConversationProducer(producerOptions(prepared));
        try {
          await converse({ pool, producer }, reviewer, { ...filter, ...(first !== undefined && { first }) });
          await untilDrained(producer);
        } finally {
          await producer.close();
        }
      }),
    );
}

function reviewerOption(name: string): string {
  const [problem] = idProblems('reviewer', name);
  if (problem) throw new UsageError(`--reviewer: ${problem.message}`);
  return name;
}

function table({ waiting, items }: Awaited<ReturnType<typeof readQueue>>): string {
  if (items.length === 0) return 'Nothing waits.';
  const rows = items.map((item) => [
    String(item.review_priority),
    `${item.nlu_module}/${item.nlu_intent}`,
    item.nlu_confidence?.toFixed(2) ?? '–',
    item.language,
    item.reasons.join(', '),
    plain(item.user_message).slice(0, 60).replaceAll('\n', ' '),
  ]);
  return `${columns([['', 'predicted', 'confidence', 'language', 'why', 'message'], ...rows])}\n${waiting} wait.`;
}
