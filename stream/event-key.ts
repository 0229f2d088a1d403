/**
 * Record keys of a topic that keeps everything `until erased`: a subject, and which of its events the record is. Compaction removes the
 * earlier records of a key, so no two events share a key, and an erasure writes a record under each of them.
 */

/** Ids hold no control character, so an event's key never equals a key of another subject. */
const SEPARATOR = '\t';

/** The key of one of the events about `subject`. */
export function eventKey(subject: string, event: string | number): string {
  return `${subject}${SEPARATOR}${event}`;
}

/** The subject of the record with this key. In topics with one key per subject, it is the whole key. */
export function subjectOf(key: string): string {
  const end = key.indexOf(SEPARATOR);
  return end === -1 ? key : key.slice(0, end);
}
