import { Command } from 'commander';
import { openCodecs } from '../runtime/schema-registry.ts';
import { listDeadLetters, replayDeadLetters } from '../runtime/dead-letters.ts';
import { traceIdOf } from '../stream/trace.ts';
import { topics } from '../topology.ts';
import type { DeadLetterDeps } from '../status/dead-letters.ts';
import { findEnvironment } from './environment.ts';
import type { Prepared } from './environment.ts';
import { columns, progress } from './terminal.ts';

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
    .option('--json', 'one JSON object a line, bytes as base64')
    .action(async ({ json }: { json?: boolean }) => {
      const { letters } = await read();
      if (json === true) {
        for (const letter of letters)
          process.stdout.write(
            `${JSON.stringify({ ...letter, key: letter.key?.toString('base64'), value: letter.value?.toString('base64') })}\n`,
          );
      } else {
        const rows = letters.map(({ id, code, topic, partition, offset, traceparent, message }) => [
          id,
          code,
          `${topic}/${String(partition)}@${String(offset)}`,
          traceparent === null ? '' : traceIdOf(traceparent),
          message.slice(0, 90),
        ]);
        process.stdout.write(
          rows.length === 0
            ? 'There are none.\n'
            : `${columns([['id', 'code', 'from', 'trace', 'reason'], ...rows])}\n`,
        );
      }
    });
  command
    .command('replay')
    .description('send their bytes to the topic they came from again, after the cause was mended')
    .option('--code <code>', 'those with this code only')
    .action(async ({ code }: { code?: string }) => {
      const { servers, letters } = await read();
      const chosen = letters.filter((letter) => code === undefined || letter.code === code);
      // Topics of our own hold tables and decisions: an old record sent again would count as the newest.
      const replayed = chosen.filter((letter) => external.has(letter.topic));
      process.stdout.write(`Sent ${String(await replayDeadLetters(servers.kafka, replayed))} again.\n`);
      const kept = chosen.length - replayed.length;
      if (kept > 0)
        progress(
          `${String(kept)} of internal topics were not sent: run \`samvad rebuild\` after the cause was mended.`,
        );
    });
  return command;
}

/** Dead letters as the API asks for them. */
export function deadLettersOf({
  servers,
  codecs,
}: Pick<Prepared, 'servers' | 'codecs'>): DeadLetterDeps['deadLetters'] {
  return {
    list: () => listDeadLetters(servers.kafka, codecs, topics.deadLetters),
    replayable: (topic) => external.has(topic),
    replay: (letters) => replayDeadLetters(servers.kafka, letters),
  };
}

async function read() {
  const { servers } = await findEnvironment();
  const codecs = await openCodecs(servers.schemaRegistryUrl, [topics.deadLetters]);
  return { servers, letters: await listDeadLetters(servers.kafka, codecs, topics.deadLetters) };
}
