import { Command, Option } from 'commander';
import { deadLetterLog, deadLettersOf } from '../app/dead-letters.ts';
import { findEnvironment } from '../app/environment.ts';
import { columns, plain, print, printText, progress, UsageError } from '../app/terminal.ts';
import { readConfig } from '../config.ts';
import { inputTopics } from '../producers/input-topics.ts';
import type { PlacedDeadLetter } from '../runtime/dead-letters.ts';
import { openCodecs } from '../runtime/schema-registry.ts';
import { poisonCodes } from '../stream/poison.ts';
import { traceIdOf } from '../stream/trace.ts';
import { topics } from '../topology.ts';
import { readJson } from './options.ts';
import { userName } from './user-name.ts';

type DeadLetters = ReturnType<typeof deadLettersOf>;

/** `samvad dead-letters`: lists records that could not be processed, and sends them again. */
export function deadLettersCommand(): Command {
  const command = new Command('dead-letters').description('records that could not be processed');
  command
    .command('list')
    .description('list them with their reasons')
    .option('--all', 'include those that were sent again')
    .option('--json', 'one JSON object a line, bytes as base64')
    .action(async ({ all, json }: { all?: boolean; json?: boolean }) => {
      const rows: string[][] = [];
      let hidden = 0;
      for await (const letter of (await openDeadLetters()).all()) {
        if (all !== true && !isOpen(letter)) hidden++;
        else if (json === true) printText(asJson(letter));
        else rows.push(tableRow(letter));
      }
      if (json === true) return;
      printText(rows.length === 0 ? 'There are none.' : columns([TABLE_HEAD, ...rows]));
      if (hidden > 0) progress(`${hidden} were sent again; --all lists them too.`);
    });
  command
    .command('show')
    .description('print the record of a letter as JSON, to edit it and send it with `replay ID --value FILE`')
    .argument('<id>', 'as `list` prints it, such as 3/17')
    .action(async (id: string) => {
      const deadLetters = await openDeadLetters();
      const draft = await deadLetters.draft(await findLetter(deadLetters, id));
      if (draft === null)
        throw new UsageError(`The record of ${id} can't be decoded; \`dead-letters list --json\` prints its bytes.`);
      printText(JSON.stringify(draft, undefined, 2));
    });
  command
    .command('replay')
    .description('send the records again to the topics they came from, once the cause is fixed; each is sent once')
    .argument('[id]', 'only this one')
    .addOption(new Option('--code <code>', 'only those with this code').choices(poisonCodes))
    .option('--value <file>', 'send this JSON instead of the original record of ID')
    .option('--json', 'how many were sent and how many were not, as JSON')
    .addHelpText('after', '\nThe exit code is 1 when a requested letter can not be sent.')
    .action(replay);
  return command;
}

interface ReplayFlags {
  readonly code?: string;
  readonly value?: string;
  readonly json?: boolean;
}

async function replay(id: string | undefined, { code, value, json }: ReplayFlags): Promise<void> {
  if (id !== undefined && code !== undefined)
    throw new UsageError(`Name one letter or a code, not both: \`dead-letters list\` shows the code of ${id}.`);
  const deadLetters = await openDeadLetters();
  const by = userName();
  if (value !== undefined) {
    if (id === undefined) throw new UsageError('Name the letter that the JSON replaces: `replay ID --value FILE`.');
    const sent = await deadLetters.correct(await openLetter(deadLetters, id), await readJson(value), by);
    if (!sent) throw new UsageError(`Another process has sent ${id} again meanwhile.`);
    return print(json, { sent: 1, not_sent: 0 }, `Sent the corrected record of ${id}.`);
  }
  const letters = id === undefined ? deadLetters.all() : [await openLetter(deadLetters, id)];
  let kept = 0;
  async function* chosen() {
    for await (const letter of letters) {
      if (!isOpen(letter) || (code !== undefined && letter.code !== code)) continue;
      if (deadLetters.replayable(letter)) yield letter;
      else kept++;
    }
  }
  const sent = await deadLetters.replay(chosen(), by);
  print(json, { sent, not_sent: kept }, `Sent ${sent} again.`);
  if (kept === 0) return;
  process.exitCode = 1;
  progress(
    `${kept} were not sent. Records that are too large must be sent again by their producer; for records of internal topics run \`samvad rebuild\` once the cause is fixed.`,
  );
}

async function openDeadLetters(): Promise<DeadLetters> {
  const { servers } = await findEnvironment(readConfig(), { tables: false });
  const codecs = await openCodecs(servers.schemaRegistryUrl, [topics.deadLetters, ...inputTopics]);
  return deadLettersOf(deadLetterLog({ servers, codecs }));
}

function isOpen({ replayed }: PlacedDeadLetter): boolean {
  return replayed === null;
}

async function openLetter(deadLetters: DeadLetters, id: string): Promise<PlacedDeadLetter> {
  const letter = await findLetter(deadLetters, id);
  if (isOpen(letter)) return letter;
  throw new UsageError(`${id} was already sent again.`);
}

async function findLetter(deadLetters: DeadLetters, id: string): Promise<PlacedDeadLetter> {
  const [letter] = await deadLetters.find([id]);
  if (letter) return letter;
  throw new UsageError(`There is no dead letter ${id}; \`samvad dead-letters list --all\` lists them.`);
}

function asJson({ key, value, ...letter }: PlacedDeadLetter): string {
  return JSON.stringify({ ...letter, key: key?.toString('base64'), value: value?.toString('base64') });
}

const TABLE_HEAD = ['id', 'code', 'from', 'trace', 'sent again', 'reason'];

/** The line of a letter in the list. */
export function tableRow(letter: PlacedDeadLetter): string[] {
  const { id, code, topic, partition, offset, traceparent, message, replayed } = letter;
  return [
    id,
    code,
    `${topic}/${partition}@${offset}`,
    traceparent === null ? '' : traceIdOf(traceparent),
    replayed === null ? '' : `${new Date(replayed.at).toISOString()} by ${replayed.by}`,
    plain(message).slice(0, 90).replaceAll('\n', ' '),
  ];
}
