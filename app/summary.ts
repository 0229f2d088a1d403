/** Figures of a summary, from the counts that database triggers maintain (`migrations/007_figures.sql`). */
import type { Pool } from 'pg';
import { readQueue } from './pipeline-figures.ts';

/** Counts by label, largest first. */
export type Counts = readonly { readonly name: string; readonly count: number }[];

/** The results of the pipeline so far. */
export interface Summary {
  readonly totals: { readonly conversations: number; readonly waiting: number; readonly samples: number };
  readonly routes: Counts;
  readonly statuses: Counts;
  /** Share of all conversations, 0 to 1; null when there are none. */
  readonly autoApprovalRate: number | null;
  readonly samplesByModule: Counts;
  readonly samplesByLanguage: Counts;
}

/** Reads the summary. */
export async function readSummary(pool: Pool): Promise<Summary> {
  const { rows } = await pool.query<Counted>(
    `SELECT relation, kind::json AS labels, sum(rows)::float8 AS count FROM row_counts
      WHERE relation IN ('conversations', 'samples') GROUP BY relation, kind HAVING sum(rows) > 0`,
  );
  const of = (relation: Counted['relation']) => rows.filter((row) => row.relation === relation);
  const [conversations, samples] = [of('conversations'), of('samples')];
  const queue = await readQueue(pool);
  const routes = countsBy(conversations, 0);
  const total = sum(conversations);
  const approved = routes.find(({ name }) => name === 'auto-approved')?.count ?? 0;
  return {
    totals: {
      conversations: total,
      waiting: queue.reduce((all, { waiting }) => all + waiting, 0),
      samples: sum(samples),
    },
    autoApprovalRate: total === 0 ? null : approved / total,
    routes,
    statuses: countsBy(conversations, 1),
    samplesByModule: countsBy(samples, 1),
    samplesByLanguage: countsBy(samples, 2),
  };
}

/** Labels as `migrations/007_figures.sql` has them: route and standing, or source, module and language. */
interface Counted {
  readonly relation: 'conversations' | 'samples';
  readonly labels: readonly string[];
  readonly count: number;
}

function countsBy(rows: readonly Counted[], label: number): Counts {
  const counts = new Map<string, number>();
  for (const { labels, count } of rows) counts.set(labels[label] ?? '', (counts.get(labels[label] ?? '') ?? 0) + count);
  return [...counts]
    .map(([name, count]) => ({ name, count }))
    .sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1));
}

function sum(rows: readonly Counted[]): number {
  return rows.reduce((all, { count }) => all + count, 0);
}
