import { randomUUID } from 'node:crypto';
import os from 'node:os';
import { createInterface } from 'node:readline/promises';
import { Command } from 'commander';
import { createConversationProducer } from '../producers/conversation-producer.ts';
import { InputError, parseReview } from '../producers/inputs.ts';
import { AnswerRefused, submitAnswers } from '../review/answers.ts';
import type { AnswerDeps } from '../review/answers.ts';
import { leaseNext, release } from '../review/leases.ts';
import type { QueueFilter } from '../review/filter.ts';
import type { Holder } from '../review/leases.ts';
import { countWaiting, readQueue, readTasks } from '../review/tasks.ts';
import type { ReviewTask } from '../review/tasks.ts';
import { findEnvironment, prepare, producerOptions } from './environment.ts';
import { columns, style } from './terminal.ts';

interface ReviewFlags extends QueueFilter {
  readonly reviewer: string;
  readonly json?: boolean;
  readonly list?: boolean;
}

const LISTED = 20;
const HELP = 'a approve · c MODULE/INTENT correct (+ before it for a new label) · r reject · s skip · u undo · q quit';
const VERDICTS: Readonly<Record<string, string>> = { a: 'approve', c: 'correct', r: 'reject', s: 'skip' };

/** What was answered last, for an undo. */
type Undoable = readonly { readonly conversation_id: string; readonly review_id: string }[];

/** `samvad review`: the queue in the terminal, line by line, so that a screen reader and a pipe can use it too. */
export function reviewCommand(): Command {
  return new Command('review')
    .description('answer what waits for a person, the most useful first')
    .option('--reviewer <name>', 'who answers', os.userInfo().username)
    .option('--module <name>', 'only this module')
    .option('--language <tag>', 'only this language')
    .option('--route <route>', 'needs-review or priority-review')
    .option('--list', 'print what waits and end')
    .option('--json', 'with --list: as JSON')
    .addHelpText(
      'after',
      `\nCommands at the prompt: ${HELP}.\nItems are lent to you for ten minutes; nobody else gets them.`,
    )
    .action(async (flags: ReviewFlags) => {
      const prepared = await prepare(await findEnvironment());
      const { pool } = prepared;
      if (flags.list === true || flags.json === true) {
        const queue = await readQueue(pool, flags, LISTED, 0);
        process.stdout.write(flags.json === true ? `${JSON.stringify(queue, undefined, 2)}\n` : table(queue));
      } else {
        const producer = await createConversationProducer(producerOptions(prepared));
        try {
          await converse({ pool, producer }, flags);
        } finally {
          await producer.close();
        }
      }
      await prepared.stop();
    });
}

function table({ waiting, items }: Awaited<ReturnType<typeof readQueue>>): string {
  const rows = items.map((item) => [
    String(item.review_priority),
    `${item.nlu_module}/${item.nlu_intent}`,
    item.nlu_confidence?.toFixed(2) ?? '–',
    item.language,
    item.reasons.join(', '),
    item.user_message.slice(0, 60).replaceAll('\n', ' '),
  ]);
  return `${columns([['', 'predicted', 'confidence', 'language', 'why', 'message'], ...rows])}\n${String(waiting)} wait.\n`;
}

async function converse(deps: AnswerDeps, { reviewer, ...filter }: ReviewFlags): Promise<void> {
  const holder: Holder = { reviewer, session: `cli/${randomUUID()}` };
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  const input = lines[Symbol.asyncIterator]();
  let last: Undoable = [];
  let back: ReviewTask | undefined;
  try {
    for (;;) {
      const task = back ?? (await nextTask(deps, holder, filter));
      if (!task) return void process.stdout.write('Nothing waits.\n');
      back = undefined;
      const shownAt = Date.now();
      process.stdout.write(card(task));
      const outcome = await ask(input, (line) => send(deps, holder, task, line, { last, shownAt }));
      if (outcome === 'quit') return;
      if (outcome.undone) back = task;
      last = outcome.last;
    }
  } finally {
    await release(deps.pool, holder);
    lines.close();
  }
}

async function nextTask({ pool }: AnswerDeps, holder: Holder, filter: QueueFilter): Promise<ReviewTask | undefined> {
  const ids = await leaseNext(pool, holder, filter, 1);
  const [task] = await readTasks(pool, holder, ids);
  if (task) process.stdout.write(`\n${String((await countWaiting(pool, holder.reviewer)).waiting)} wait.\n`);
  return task;
}

function card(task: ReviewTask): string {
  const confidence = task.nlu_confidence === null ? '' : `, ${(100 * task.nlu_confidence).toFixed(0)} %`;
  const alike = task.group.length > 0 ? `${String(task.group.length)} more say nearly the same and go along.\n` : '';
  return `${style('bold', task.user_message)}\n${task.nlu_module}/${task.nlu_intent}${confidence} · ${task.language} · ${task.reasons.join(', ')}\n${alike}`;
}

interface Outcome {
  readonly last: Undoable;
  readonly undone?: boolean;
}

/** Asks until an answer was taken; a line that is none is explained. */
async function ask(
  input: AsyncIterator<string>,
  act: (line: string) => Promise<Outcome | undefined>,
): Promise<Outcome | 'quit'> {
  for (;;) {
    process.stdout.write('> ');
    const next = await input.next();
    if (next.done === true || next.value.trim() === 'q') return 'quit';
    try {
      const outcome = await act(next.value.trim());
      if (outcome) return outcome;
      process.stdout.write(`${HELP}\n`);
    } catch (error) {
      if (!(error instanceof AnswerRefused || error instanceof InputError)) throw error;
      process.stdout.write(`${error.message}\n`);
    }
  }
}

/** Carries a line out; undefined when it is none of the commands. */
async function send(
  deps: AnswerDeps,
  holder: Holder,
  task: ReviewTask,
  line: string,
  { last, shownAt }: { readonly last: Undoable; readonly shownAt: number },
): Promise<Outcome | undefined> {
  const reviewed_at = new Date().toISOString();
  const common = { reviewer: holder.reviewer, reviewed_at, source: 'cli' };
  if (line === 'u') {
    const undos = last.map(({ conversation_id, review_id }) =>
      parseReview({ ...common, conversation_id, review_id: randomUUID(), verdict: 'skip', withdraws: review_id }),
    );
    if (undos.length > 0) await submitAnswers(deps, holder, undos, { newLabels: false });
    process.stdout.write(undos.length > 0 ? 'Taken back; it comes again.\n' : 'There is nothing to take back.\n');
    return { last: [], undone: true };
  }
  const [command = '', label = ''] = line.split(/\s+(.*)/s);
  const verdict = VERDICTS[command];
  if (verdict === undefined || (verdict === 'correct') === (label === '')) return undefined;
  const [corrected_module = '', corrected_intent = ''] = label.replace(/^\+/, '').split('/');
  const { nlu_intent: intent, nlu_module: module, nlu_confidence: confidence, model_version } = task;
  const members = [task, ...task.group];
  const reviews = members.map(({ conversation_id }) =>
    parseReview({
      ...common,
      conversation_id,
      review_id: randomUUID(),
      verdict,
      ...(verdict === 'correct' && { corrected_module, corrected_intent }),
      time_taken_ms: Math.round((Date.now() - shownAt) / members.length),
      shown: { intent, module, confidence, model_version },
    }),
  );
  await submitAnswers(deps, holder, reviews, { newLabels: label.startsWith('+') });
  return { last: reviews.map(({ conversation_id, review_id }) => ({ conversation_id, review_id: review_id ?? '' })) };
}
