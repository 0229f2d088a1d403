/** The key figures as a table, with advice below it. */
import { columns, style } from '../app/terminal.ts';
import type { KpiList } from '../kpi/read-kpis.ts';
import { formatKpi, formatTarget } from '../policy/kpis.ts';

const ARROWS = { up: '↑', down: '↓', level: '→' } as const;

/** The key figures as text for a terminal. */
export function renderKpis({ from, to, kpis }: KpiList): string {
  const rows = kpis.map(({ title, unit, value, before, trend, target, standing }) => [
    title,
    formatKpi(value, unit),
    trend === null ? '' : `${ARROWS[trend]} from ${formatKpi(before, unit)}`,
    formatTarget(target, unit),
    standing,
  ]);
  const advice = kpis
    .filter((kpi) => kpi.advice !== null)
    .map(({ title, advice: sentence }) => `  ${title}: ${sentence ?? ''}`);
  return [
    style('bold', `Key figures, ${from} to ${to} (UTC)`),
    columns([['figure', 'value', 'trend', 'target', ''], ...rows]),
    ...(advice.length > 0 ? ['', ...advice] : []),
  ].join('\n');
}
