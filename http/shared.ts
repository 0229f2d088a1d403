/** Work that is not done twice at a time. */

/** `read` for many callers: while a reading is under way, even one that hangs, they share it and none is started. */
export function shared<T>(read: () => Promise<T>): () => Promise<T> {
  let reading: Promise<T> | undefined;
  return () => (reading ??= read().finally(() => (reading = undefined)));
}
