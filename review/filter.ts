/** Filters of the queue, and the condition for items that belong together. */
import { canonicalTag } from '../policy/language.ts';

/** Absent or empty means all. Drawn items have no visible route and match every route. */
export interface QueueFilter {
  readonly module?: string | undefined;
  readonly language?: string | undefined;
  readonly route?: string | undefined;
}

/** A condition on rows of `review_queue` or `review_ranking`; `filterValues` are its parameters $1 to $3. */
export const MATCHES = `($1::text IS NULL OR nlu_module = $1) AND ($2::text IS NULL OR language = $2)
  AND ($3::text IS NULL OR drawn OR priority_class = CASE $3 WHEN 'priority-review' THEN 1 WHEN 'needs-review' THEN 2 END)`;

/** The parameters of `MATCHES`. Intake writes language tags in one case, so the asked one is compared in that case. */
export function filterValues({ module, language, route }: QueueFilter): (string | null)[] {
  return [module, language && canonicalTag(language), route].map((value) => (value === '' ? null : (value ?? null)));
}

/**
 * A condition on two rows of `review_queue`: one may be answered together with the other. Drawn items never may. The
 * index finds the first row by the second.
 */
export function alike(one: string, other: string): string {
  return `${one}.sketch ?| ARRAY(SELECT jsonb_array_elements_text(${other}.sketch))
    AND ${one}.nlu_module = ${other}.nlu_module AND ${one}.nlu_intent = ${other}.nlu_intent AND NOT ${one}.drawn AND NOT ${other}.drawn`;
}
