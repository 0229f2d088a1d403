/** Dead letters, for the API and the commands. */
import type { DeadLetterDeps } from '../http/dead-letters.ts';
import { correctedRecord, draftOf } from '../producers/corrections.ts';
import { DeadLetterIndex, findDeadLetters, readDeadLetters, replayDeadLetters } from '../runtime/dead-letters.ts';
import type { DeadLetterLog, PlacedDeadLetter, Resend } from '../runtime/dead-letters.ts';
import { MAX_EXTERNAL_BYTES } from '../stream/batch.ts';
import { topics } from '../topology.ts';
import type { Prepared } from './environment.ts';

const external = new Set(
  Object.values(topics)
    .filter((topic) => topic.external)
    .map(({ name }) => name),
);

/**
 * Whether a letter can be sent again. Internal topics are excluded: they hold tables and decisions, where an old record would count as
 * the newest. So are large records: the letter may be truncated, and Kafka would refuse the whole transaction.
 */
function replayable({ topic, key, value }: PlacedDeadLetter): boolean {
  return external.has(topic) && (key?.length ?? 0) + (value?.length ?? 0) <= MAX_EXTERNAL_BYTES;
}

/** Dead letters, for the API and the commands. `index` may be shared with other readers. */
export function deadLettersOf(log: DeadLetterLog, index = new DeadLetterIndex(log)): DeadLetterDeps['deadLetters'] {
  const send = (resends: AsyncIterable<Resend> | Iterable<Resend>, by: string) =>
    replayDeadLetters(log, resends, { by, at: Date.now() });
  return {
    all: () => readDeadLetters(log, index),
    find: (ids) => findDeadLetters(log, new Set(ids)),
    replayable,
    draft: (letter) => draftOf(log.codecs, letter),
    replay: (letters, by) => send(unchanged(letters), by),
    async correct(letter, record, by) {
      const corrected = correctedRecord(log.codecs, letter, record, Date.now());
      return (await send([{ letter, corrected }], by)) === 1;
    },
  };
}

/** The dead-letter topic of an environment. */
export function deadLetterLog({
  servers: { kafka },
  codecs,
}: Pick<Prepared, 'codecs'> & { readonly servers: Pick<Prepared['servers'], 'kafka'> }): DeadLetterLog {
  return { kafka, codecs, topic: topics.deadLetters };
}

async function* unchanged(
  letters: AsyncIterable<PlacedDeadLetter> | Iterable<PlacedDeadLetter>,
): AsyncGenerator<Resend> {
  for await (const letter of letters) yield { letter };
}
