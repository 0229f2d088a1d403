import type { DayClosed } from '../schemas/types.ts';
import type { Projection } from '../stream/projection.ts';
import { topics } from '../topology.ts';

/** The report on each closed day. */
export const dailyReports: Projection<DayClosed> = {
  name: 'daily-reports',
  topic: topics.dailyReports,
  table: 'daily_reports',
  key: 'day',
  columns: { day: 'text', closed_at: 'timestamptz', report: 'text' },
  row: ({ day, closed_at, report }) => [day, closed_at, report],
};
