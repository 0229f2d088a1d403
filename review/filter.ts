/** Which part of the queue. */

/** Absent means all. What chance has drawn has no route to be chosen by and comes with each. */
export interface QueueFilter {
  readonly module?: string | undefined;
  readonly language?: string | undefined;
  readonly route?: string | undefined;
}

/** A condition on rows of `review_queue` or `review_ranking`; `filterValues` are its parameters $1 to $3. */
export const MATCHES = `($1::text IS NULL OR nlu_module = $1) AND ($2::text IS NULL OR language = $2)
  AND ($3::text IS NULL OR drawn OR priority_class = CASE $3 WHEN 'priority-review' THEN 1 WHEN 'needs-review' THEN 2 END)`;

/** The parameters of `MATCHES`. */
export function filterValues({ module, language, route }: QueueFilter): (string | null)[] {
  return [module ?? null, language ?? null, route ?? null];
}
