import { deadLetterLog } from '../../app/dead-letters.ts';
import { readDeadLetters } from '../../runtime/dead-letters.ts';
import type { PlacedDeadLetter } from '../../runtime/dead-letters.ts';

/** All dead letters. */
export async function deadLettersIn(prepared: Parameters<typeof deadLetterLog>[0]): Promise<PlacedDeadLetter[]> {
  const letters: PlacedDeadLetter[] = [];
  for await (const letter of readDeadLetters(deadLetterLog(prepared))) letters.push(letter);
  return letters;
}
