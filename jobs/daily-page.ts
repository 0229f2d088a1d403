/** The daily report as a self-contained HTML page, in light or dark colours. */
import { agreementInWords } from '../policy/agreement.ts';
import { formatKpi, formatTarget } from '../policy/kpis.ts';
import type { Kpi } from '../policy/kpis.ts';
import type { DailyReport, DaySlice } from './daily-report.ts';
import { progressInWords } from './training-progress.ts';

/** The page. */
export function dailyPage(report: DailyReport): string {
  const { day, conversations: c, training, late } = report;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Samvad, ${day}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>Samvad, ${day}</h1>
<p class="quiet">The day by event time (UTC). Closed at ${escape(report.closed_at.slice(0, 16).replace('T', ' '))} UTC.</p>
${tiles([
  ['conversations', count(c.conversations)],
  ['auto-approved', share(c.auto_approval_rate)],
  ['for people', count(c.needs_review + c.priority_review)],
  ['answers', count(c.reviews)],
  ['samples approved', count(c.training_samples)],
])}
<h2>Key figures</h2>
${kpiTable(report.kpis)}
<h2>Training</h2>
<p>${prose(progressInWords(training))}</p>
<h2>Accuracy in production</h2>
${accuracyTable(report.accuracy)}
<p>${escape(agreementInWords(report.accuracy.agreement))}</p>
<h2>The day's traffic</h2>
${sliceTable('Module', report.modules)}
${sliceTable('Language', report.languages)}
${sliceTable('Intents with most for people', report.doubtful_intents)}
${late.length === 0 ? '' : `<h2>Late conversations</h2>\n<p>${late.map((one) => `${one.conversations} conversations of ${one.day}`).join(', ')} arrived after the reports of their days.</p>`}
</main>
</body>
</html>
`;
}

function tiles(figures: readonly (readonly [label: string, figure: string])[]): string {
  return `<div class="tiles">${figures.map(([label, figure]) => `<div><span>${label}</span><b>${figure}</b></div>`).join('')}</div>`;
}

const MARKS = { 'on target': '✓', 'off target': '✗', unknown: '?' } as const;

function kpiTable(kpis: readonly Kpi[]): string {
  const rows = kpis.map(({ title, unit, value, before, target, standing, advice, trend }) => [
    `${escape(title)}${advice === null ? '' : `<small>${prose(advice)}</small>`}`,
    formatKpi(value, unit),
    trend === null ? '' : `from ${formatKpi(before, unit)}`,
    formatTarget(target, unit),
    `<span class="${standing.replace(' ', '-')}">${MARKS[standing]} ${standing}</span>`,
  ]);
  return table(['Figure', 'Value', 'Before', 'Target', 'Standing'], rows);
}

function accuracyTable({ from, to, all, versions }: DailyReport['accuracy']): string {
  const rows = [{ name: 'all', ...all }, ...versions].map((slice) => [
    escape(slice.name),
    share(slice.corrected),
    `${share(slice.interval[0])} to ${share(slice.interval[1])}`,
    share(slice.naive),
    count(slice.answers),
    count(slice.conversations),
  ]);
  return (
    `<p class="quiet">Conversations of ${from} to ${to}, corrected for which conversations people see; the naive share is without that correction.</p>\n` +
    table(['Version', 'Corrected', '95 % interval', 'Naive', 'Answers', 'Conversations'], rows)
  );
}

function sliceTable(title: string, slices: readonly DaySlice[]): string {
  const rows = slices.map(({ name, conversations, auto_approval_rate, average_confidence }) => [
    escape(name),
    count(conversations),
    share(auto_approval_rate),
    average_confidence === null ? '–' : average_confidence.toFixed(3),
  ]);
  return table([title, 'Conversations', 'Auto-approved', 'Mean confidence'], rows);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (tag: string, row: readonly string[]) => row.map((cell) => `<${tag}>${cell}</${tag}>`).join('');
  const body = rows.map((row) => `<tr>${cells('td', row)}</tr>`).join('\n');
  return `<div class="wide" tabindex="0"><table><thead><tr>${cells('th', head)}</tr></thead><tbody>\n${body}\n</tbody></table></div>`;
}

function count(value: number): string {
  return formatKpi(value, 'count');
}

/** Escapes text in which commands are between backticks. */
function prose(text: string): string {
  return escape(text).replace(/`([^`]+)`/g, '<code>$1</code>');
}

function share(value: number | null): string {
  return formatKpi(value, 'share');
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1d232b; --quiet: #59636e; --line: #d5dae0; --back: #fff; --good: #1a7f37; --bad: #b42318; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7ebf0; --quiet: #a0a9b3; --line: #3a434d; --back: #14181d; --good: #57c26d; --bad: #ff8a7a; } }
body { font: 16px/1.5 system-ui, 'Noto Sans', sans-serif; color: var(--ink); background: var(--back); margin: 0; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.quiet, small { color: var(--quiet); } small { display: block; max-width: 34rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: .75rem; }
.tiles div { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.tiles span { display: block; color: var(--quiet); font-size: .85rem; } .tiles b { font-size: 1.4rem; }
.wide { overflow-x: auto; margin-bottom: 1rem; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .4rem .6rem; border-bottom: 1px solid var(--line); vertical-align: baseline; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; } td:first-child { min-width: 10rem; }
.on-target { color: var(--good); } .off-target { color: var(--bad); } .unknown { color: var(--quiet); }
`;
