/**
 * Record keys of a topic that keeps everything `until erased`: what an event is about, and which of its events it is. Compaction takes
 * the earlier record of a key, so no two events share one, and an erasure uses each of them again.
 */

/** Ids hold no control character, so an event's key is no other subject's. */
const SEPARATOR = '\t';

/** The key of one of the events about `subject`. */
export function eventKey(subject: string, event: string | number): string {
  return `${subject}${SEPARATOR}${event}`;
}

/** What the record with this key is about: all of the key in topics that do not tell events apart. */
export function subjectOf(key: string): string {
  const end = key.indexOf(SEPARATOR);
  return end === -1 ? key : key.slice(0, end);
}
