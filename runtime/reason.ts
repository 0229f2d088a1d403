/** What went wrong, in one line for a person, without a full stop. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // `fetch` and the connections of several addresses of one name hide the reason one level down.
  if (error.message === 'fetch failed' && error.cause !== undefined) return reasonOf(error.cause);
  if (error.message === '' && error instanceof AggregateError) return reasonOf(error.errors[0]);
  return (error.message || error.name).replace(/\.$/, '');
}
