/** Reviewing line by line: shows an item, reads the reviewer's command, and goes on with the next. */
import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline/promises';
import type { Interface } from 'node:readline/promises';
import { plain, printText, style } from '../app/terminal.ts';
import { InputError, parseReview } from '../producers/inputs.ts';
import { AnswerRefused, submitAnswers } from '../review/answers.ts';
import type { AnswerDeps } from '../review/answers.ts';
import { erasedAmong } from '../review/erased.ts';
import type { QueueFilter } from '../review/filter.ts';
import { readLabels } from '../review/labels.ts';
import { leaseNext, release } from '../review/leases.ts';
import type { Holder } from '../review/leases.ts';
import { countWaiting, readTasks } from '../review/tasks.ts';
import type { ReviewTask } from '../review/tasks.ts';

/** The commands of the prompt. */
export const PROMPT_HELP = `  a                approve: the prediction is right
  1 … 6            correct to that label of the list
  c MODULE/INTENT  correct to this label; +MODULE/INTENT makes a new one
  c WORD           the labels with that word
  r                reject: not usable as training data
  s                skip: no opinion
  u                undo the last answer, and the one before it
  q                quit`;

const VERDICTS = { a: 'approve', r: 'reject', s: 'skip' } as const;
const TAKEN = { approve: 'Approved', correct: 'Corrected to', reject: 'Rejected', skip: 'Skipped' } as const;
type Verdict = keyof typeof TAKEN;
const MAX_CHOICES = 6;
const MAX_LISTED = 12;
/** Characters shown of a message of the group. */
const MAX_TEXT = 200;

interface Label {
  readonly module: string;
  readonly intent: string;
}

/** The state of one reviewer at one prompt. */
interface Desk {
  readonly deps: AnswerDeps;
  readonly holder: Holder;
  /** Answers given at this prompt, the latest last, for undo. */
  readonly done: { readonly task: ReviewTask; readonly reviews: readonly [conversation: string, review: string][] }[];
  /** Items to show again, the next one last. */
  readonly back: ReviewTask[];
}

/** A command that can't be carried out; the message tells the reviewer why. */
class NotDone extends Error {
  override readonly name = 'NotDone';
}

/**
 * Shows one item after the other on standard output and reads a line of standard input for each, until the queue is empty, the
 * input is `q` or it ends. Then releases items that were not answered. `first` is the conversation to begin with.
 */
export async function converse(
  deps: AnswerDeps,
  reviewer: string,
  { first, ...filter }: QueueFilter & { readonly first?: string },
): Promise<void> {
  const desk: Desk = { deps, holder: { reviewer, session: `cli/${randomUUID()}` }, done: [], back: [] };
  const lines = createInterface({ input: process.stdin, output: process.stdout, prompt: '> ' });
  const input = lines[Symbol.asyncIterator]();
  try {
    if (first !== undefined) await beginWith(desk, filter, first);
    for (;;) {
      const task = desk.back.pop() ?? (await nextTask(desk, filter));
      if (!task) return printText('Nothing waits.');
      printText(card(task));
      if ((await ask(lines, input, desk, task)) === 'quit') return;
    }
  } finally {
    await release(deps.pool, desk.holder);
    lines.close();
    const answers = desk.done.reduce((sum, { reviews }) => sum + reviews.length, 0);
    printText(`${answers} ${answers === 1 ? 'answer' : 'answers'} given.`);
  }
}

async function beginWith({ deps: { pool }, holder, back }: Desk, filter: QueueFilter, id: string): Promise<void> {
  const [task] = await readTasks(pool, holder, (await leaseNext(pool, holder, filter, 0, { first: id })).slice(0, 1));
  if (task) back.push(task);
  else printText(`${plain(id)} does not wait for you: it was answered, another reviewer has it, or it does not exist.`);
}

async function nextTask({ deps: { pool }, holder }: Desk, filter: QueueFilter): Promise<ReviewTask | undefined> {
  const [task] = await readTasks(pool, holder, (await leaseNext(pool, holder, filter, 1)).slice(0, 1));
  if (task) printText(`\n${(await countWaiting(pool, holder.reviewer)).waiting} wait.`);
  return task;
}

function card(task: ReviewTask): string {
  const confidence = task.nlu_confidence === null ? '' : `, ${(100 * task.nlu_confidence).toFixed(0)} %`;
  const rather = choices(task).map((label, i) => `${i + 1} ${nameOf(label)}`);
  return [
    style('bold', plain(task.user_message)),
    `${nameOf(predicted(task))}${confidence} · ${task.language} · ${task.reasons.join(', ')}`,
    ...(rather.length > 0 ? [`or rather: ${rather.join(' · ')}`] : []),
    ...(task.group.length > 0
      ? [`${task.group.length} nearly identical messages get the same answer:`, ...texts(task)]
      : []),
  ].join('\n');
}

/** The messages of the group, each text once. */
function texts({ group }: ReviewTask): readonly string[] {
  const times = new Map<string, number>();
  for (const { user_message } of group) times.set(user_message, (times.get(user_message) ?? 0) + 1);
  return [...times].map(([text, n]) => {
    const line = plain(text).replaceAll('\n', ' ').slice(0, MAX_TEXT);
    return `  ${line}${n > 1 ? ` (${n} ×)` : ''}`;
  });
}

/** Other labels to offer: the runners-up, then earlier corrections of this prediction. */
function choices(task: ReviewTask): readonly Label[] {
  const all = [predicted(task), ...task.runners_up, ...task.suggestions];
  const first = (label: Label) => all.findIndex((one) => isSame(one, label));
  return all.filter((label, i) => i > 0 && first(label) === i).slice(0, MAX_CHOICES);
}

/** Names do not tell: a module and an intent may have slashes in them. */
function isSame(a: Label, b: Label): boolean {
  return a.module === b.module && a.intent === b.intent;
}

function predicted({ nlu_module: module, nlu_intent: intent }: ReviewTask): Label {
  return { module, intent };
}

function nameOf({ module, intent }: Label): string {
  return `${module}/${intent}`;
}

/** Refusals after which an item can't be answered any longer. */
const GONE: readonly AnswerRefused['why'][] = ['erased', 'unknown-conversation'];

/** Reads commands until one is carried out, and explains those that can't be. Ends also when the item or a message of its group is gone. */
async function ask(
  lines: Interface,
  input: AsyncIterator<string>,
  desk: Desk,
  task: ReviewTask,
): Promise<'quit' | 'done'> {
  const shownAt = Date.now();
  for (;;) {
    lines.prompt();
    const next = await input.next();
    if (next.done === true) printText('');
    if (next.done === true || next.value.trim() === 'q') return 'quit';
    try {
      await carryOut(desk, task, next.value.trim(), shownAt);
      return 'done';
    } catch (error) {
      if (!(error instanceof NotDone || error instanceof AnswerRefused || error instanceof InputError)) throw error;
      printText(error.message);
      if (error instanceof AnswerRefused && GONE.includes(error.why)) return 'done';
    }
  }
}

/** Carries out one command. @throws NotDone, AnswerRefused or InputError when that is not possible. */
async function carryOut(desk: Desk, task: ReviewTask, line: string, shownAt: number): Promise<void> {
  const [command = '', rest = ''] = line.split(/\s+(.*)/s);
  if (line === 'u') return undo(desk, task);
  if (rest === '' && command in VERDICTS)
    return answer(desk, task, VERDICTS[command as keyof typeof VERDICTS], shownAt);
  const choice = rest === '' && /^\d$/.test(command) ? choices(task)[Number(command) - 1] : undefined;
  const wanted =
    command === 'c' && rest !== '' ? await labelOf(desk.deps, rest) : choice && { ...choice, isNew: false };
  if (!wanted) throw new NotDone(PROMPT_HELP);
  if (isSame(wanted, predicted(task))) return answer(desk, task, 'approve', shownAt);
  return answer(desk, task, 'correct', shownAt, wanted);
}

/** The label that `text` names. @throws NotDone with similar labels when it names none. */
async function labelOf({ pool }: AnswerDeps, text: string): Promise<Label & { readonly isNew: boolean }> {
  const isNew = text.startsWith('+');
  const [, module = '', intent = ''] = /^\+?\s*([^/\s]+)\s*\/\s*(.+)$/s.exec(text) ?? [];
  if (isNew && module !== '') return { module, intent, isNew };
  const labels = await readLabels(pool);
  if (labels.some((label) => label.module === module && label.intent === intent)) return { module, intent, isNew };
  const of = (holds: (label: Label) => boolean) => labels.filter(holds).map(nameOf);
  const word = text.replace(/^\+\s*/, '').toLowerCase();
  const near =
    module === '' ? of((label) => nameOf(label).toLowerCase().includes(word)) : of((one) => one.module === module);
  const some = near.slice(0, MAX_LISTED).join(', ') + (near.length > MAX_LISTED ? ' …' : '');
  if (module === '')
    throw new NotDone(
      near.length > 0 ? `Labels with “${plain(word)}”: ${some}` : `No label has “${plain(word)}” in it. ${WRITE}`,
    );
  const known = near.length > 0 ? ` Labels of ${plain(module)}: ${some}.` : '';
  throw new NotDone(
    `The label ${plain(module)}/${plain(intent)} is not in use yet.${known} \`c +${plain(module)}/${plain(intent)}\` creates it.`,
  );
}

const WRITE = 'Write `c MODULE/INTENT`, or `c +MODULE/INTENT` for a new one.';

/** Longest time that counts for an answer (migrations/002_conversations.sql). An answer to a whole group counts once. */
const MAX_ANSWER_MS = 600_000;

async function answer(
  { deps, holder, done }: Desk,
  task: ReviewTask,
  verdict: Verdict,
  shownAt: number,
  label?: Label & { readonly isNew: boolean },
): Promise<void> {
  const members = [task, ...task.group];
  const reviews = members.map(({ conversation_id }) =>
    parseReview({
      conversation_id,
      review_id: randomUUID(),
      verdict,
      ...(label && { corrected_module: label.module, corrected_intent: label.intent }),
      ...common(holder),
      time_taken_ms: Math.round(Math.min(Date.now() - shownAt, MAX_ANSWER_MS) / members.length),
      shown: { ...predicted(task), confidence: task.nlu_confidence, model_version: task.model_version },
    }),
  );
  await submitAnswers(deps, holder, reviews, { newLabels: label?.isNew === true });
  done.push({ task, reviews: reviews.map(({ conversation_id, review_id }) => [conversation_id, review_id ?? '']) });
  const together = members.length > 1 ? `, ${members.length} at once` : '';
  printText(`${TAKEN[verdict]} ${nameOf(label ?? predicted(task))}${together}.`);
}

/** Withdraws the last answer and shows its item again, before the current one. Erased conversations are left out. */
async function undo({ deps, holder, done, back }: Desk, task: ReviewTask): Promise<void> {
  const last = done.pop();
  if (!last) throw new NotDone('There is no answer to undo.');
  const ids = last.reviews.map(([id]) => id);
  const erased = new Set((await erasedAmong(deps.pool, ids)).map(({ conversation_id: id }) => id));
  const stands = ({ conversation_id: id }: Pick<ReviewTask, 'conversation_id'>) => !erased.has(id);
  const undos = last.reviews
    .map(([conversation_id, withdraws]) =>
      parseReview({ conversation_id, review_id: randomUUID(), verdict: 'skip', withdraws, ...common(holder) }),
    )
    .filter(stands);
  if (undos.length === 0) throw new NotDone('What was answered last was erased meanwhile.');
  await submitAnswers(deps, holder, undos, { newLabels: false });
  back.push(task, ...[{ ...last.task, group: last.task.group.filter(stands) }].filter(stands));
  printText('Taken back.\n');
}

function common({ reviewer }: Holder) {
  return { reviewer, reviewed_at: new Date().toISOString(), source: 'cli' };
}
