/** The words in the names of intents: "track_order" and "trackOrder" become "track order". */
import { OUT_OF_SCOPE } from './classifier.ts';
import type { Label } from './classifier.ts';

/** The name of an intent as text. */
export function nameWords(intent: string): string {
  const words = intent.replace(/(\p{Ll})(?=\p{Lu})/gu, '$1 ').replace(/[^\p{L}\p{M}\p{N}]+/gu, ' ');
  return words.trim().toLowerCase();
}

/** For each word in the names of at least two intents, the indices of these intents in `labels`. */
export function relatives(labels: readonly Label[]): readonly Int32Array[] {
  const groups = new Map<string, number[]>();
  labels.forEach(({ intent }, place) => {
    if (intent === OUT_OF_SCOPE) return;
    const words = new Set(nameWords(intent).split(' '));
    for (const word of words) groups.set(word, [...(groups.get(word) ?? []), place]);
  });
  return [...groups.values()].filter(({ length }) => length > 1).map((group) => Int32Array.from(group));
}
