import { readFile } from 'node:fs/promises';
import os from 'node:os';
import { Command } from 'commander';
import { correctedRecord, draftOf } from '../producers/corrections.ts';
import { inputTopics } from '../producers/input-topics.ts';
import { InputError } from '../producers/inputs.ts';
import { listDeadLetters, replayDeadLetters } from '../runtime/dead-letters.ts';
import type { PlacedDeadLetter, Resend } from '../runtime/dead-letters.ts';
import { openCodecs } from '../runtime/schema-registry.ts';
import { traceIdOf } from '../stream/trace.ts';
import { topics } from '../topology.ts';
import type { DeadLetterDeps } from '../status/dead-letters.ts';
import { findEnvironment } from './environment.ts';
import type { Prepared } from './environment.ts';
import { columns, progress, UsageError } from './terminal.ts';

const external = new Set(
  Object.values(topics)
    .filter((topic) => topic.external)
    .map(({ name }) => name),
);

/** `samvad dead-letters`: what could not be processed, and another try at it. */
export function deadLettersCommand(): Command {
  const command = new Command('dead-letters').description('records that could not be processed');
  command
    .command('list')
    .description('list them with their reasons')
    .option('--all', 'those too that were sent again')
    .option('--json', 'one JSON object a line, bytes as base64')
    .action(async ({ all, json }: { all?: boolean; json?: boolean }) => {
      const { letters } = await open();
      const listed = all === true ? letters : letters.filter(isOpen);
      if (json === true) {
        for (const letter of listed)
          process.stdout.write(
            `${JSON.stringify({ ...letter, key: letter.key?.toString('base64'), value: letter.value?.toString('base64') })}\n`,
          );
      } else {
        process.stdout.write(listed.length === 0 ? 'There are none.\n' : `${letterTable(listed)}\n`);
        const hidden = letters.length - listed.length;
        if (hidden > 0) progress(`${hidden} were sent again; --all lists them too.`);
      }
    });
  command
    .command('show')
    .description('print the record of a letter as JSON, to correct it and send it with `replay ID --value FILE`')
    .argument('<id>', 'as the list has it, such as 3/17')
    .action(async (id: string) => {
      const { codecs, letters } = await open();
      const draft = await draftOf(codecs, findLetter(letters, id));
      if (draft === null)
        throw new UsageError(`Nobody can read the record of ${id}; \`dead-letters list --json\` has its bytes.`);
      process.stdout.write(`${JSON.stringify(draft, undefined, 2)}\n`);
    });
  command
    .command('replay')
    .description('send their bytes to the topic they came from again, after the cause was mended; each is sent once')
    .argument('[id]', 'only this one')
    .option('--code <code>', 'those with this code only')
    .option('--value <file>', 'send this JSON in place of the bytes of the letter ID')
    .action(async (id: string | undefined, { code, value }: { code?: string; value?: string }) => {
      const { servers, codecs, letters } = await open();
      const by = os.userInfo().username;
      const deps = deadLettersOf({ servers, codecs });
      if (value !== undefined) {
        if (id === undefined) throw new UsageError('Say which letter the JSON is for: `replay ID --value FILE`.');
        const sent = await deps.correct(findLetter(letters, id), await readJson(value), by);
        if (!sent) throw new UsageError(`${id} was sent again already.`);
        process.stdout.write(`Sent the corrected record of ${id}.\n`);
        return;
      }
      const wanted = id === undefined ? letters : [findLetter(letters, id)];
      const chosen = wanted.filter((letter) => isOpen(letter) && (code === undefined || letter.code === code));
      // Topics of our own hold tables and decisions: an old record sent again would count as the newest.
      const replayed = chosen.filter((letter) => external.has(letter.topic));
      process.stdout.write(`Sent ${await deps.replay(replayed, by)} again.\n`);
      const kept = chosen.length - replayed.length;
      if (kept > 0)
        progress(`${kept} of internal topics were not sent: run \`samvad rebuild\` after the cause was mended.`);
    });
  return command;
}

/** Dead letters as the API and the commands ask for them. */
export function deadLettersOf({
  servers,
  codecs,
}: Pick<Prepared, 'codecs'> & { readonly servers: Pick<Prepared['servers'], 'kafka'> }): DeadLetterDeps['deadLetters'] {
  const log = { kafka: servers.kafka, codecs, topic: topics.deadLetters };
  const send = (resends: readonly Resend[], by: string) => replayDeadLetters(log, resends, { by, at: Date.now() });
  return {
    list: () => listDeadLetters(servers.kafka, codecs, topics.deadLetters),
    replayable: (topic) => external.has(topic),
    draft: (letter) => draftOf(codecs, letter),
    replay: (letters, by) =>
      send(
        letters.map((letter) => ({ letter })),
        by,
      ),
    async correct(letter, record, by) {
      const corrected = correctedRecord(codecs, letter, record, Date.now());
      return (await send([{ letter, corrected }], by)) === 1;
    },
  };
}

async function open() {
  const { servers } = await findEnvironment();
  const codecs = await openCodecs(servers.schemaRegistryUrl, [topics.deadLetters, ...inputTopics]);
  return { servers, codecs, letters: await listDeadLetters(servers.kafka, codecs, topics.deadLetters) };
}

function isOpen({ replayed }: PlacedDeadLetter): boolean {
  return replayed === null;
}

function findLetter(letters: readonly PlacedDeadLetter[], id: string): PlacedDeadLetter {
  const letter = letters.find((one) => one.id === id);
  if (letter) return letter;
  throw new UsageError(`There is no dead letter ${id}; \`samvad dead-letters list --all\` lists them.`);
}

async function readJson(file: string): Promise<unknown> {
  const text = await readFile(file, 'utf8');
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new InputError([{ field: file, message: `It is not JSON: ${cause instanceof Error ? cause.message : ''}.` }]);
  }
}

function letterTable(letters: readonly PlacedDeadLetter[]): string {
  return columns([
    ['id', 'code', 'from', 'trace', 'sent again', 'reason'],
    ...letters.map(({ id, code, topic, partition, offset, traceparent, message, replayed }) => [
      id,
      code,
      `${topic}/${partition}@${offset}`,
      traceparent === null ? '' : traceIdOf(traceparent),
      replayed === null ? '' : `${new Date(replayed.at).toISOString()} by ${replayed.by}`,
      message.slice(0, 90),
    ]),
  ]);
}
