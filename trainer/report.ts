/** The training report as an HTML page: one file that loads nothing, for light and dark mode. */
import { percent } from '../policy/percent.ts';
import type { PromotionDecision } from '../policy/promotion.ts';
import { labelName, OUT_OF_SCOPE } from './learning/classifier.ts';
import type { Comparison, Flip } from './learning/compare.ts';
import type { Evaluation, Judged } from './learning/evaluate.ts';
import type { DropCounts } from './learning/split.ts';
import type { EpochReport } from './learning/train.ts';

/** The content of a report; JSON.stringify gives the machine-readable report. */
export interface TrainingReport {
  readonly version: string;
  /** The version that training went on from; null when it started from scratch. */
  readonly parent: string | null;
  /**
   * How the model was made, according to its file: its encoder and, for an external program, that program's own notes.
   */
  readonly made: { readonly encoder: Readonly<Record<string, unknown>>; readonly external: unknown };
  /**
   * The version that it should have gone on from but could not: its encoder or trainer differs, it was trained on
   * calibration rows, or it has no room for new words.
   */
  readonly passedOver: string | null;
  readonly rows: { readonly train: number; readonly dev: number; readonly test: number };
  readonly dropped: DropCounts;
  readonly history: readonly EpochReport[];
  readonly evaluation: Evaluation;
  readonly confusion: Confusion;
  /** Null when nothing was in production. */
  readonly comparison: Comparison | null;
  readonly decision: PromotionDecision;
  readonly manifest: unknown;
}

/** The confusion matrix, `counts[truth][answer]`. It includes only the most confused intents. */
export interface Confusion {
  readonly names: readonly string[];
  readonly counts: readonly (readonly number[])[];
  /** The number of intents left out. */
  readonly hidden: number;
}

/** The largest confusion matrix that stays readable. */
const MATRIX = 24;

/** The confusion matrix of rows in scope, for the intents with the most mistakes, ordered by name. */
export function confusion(judged: readonly Judged[], limit = MATRIX): Confusion {
  const pairs = judged
    .filter(({ row }) => row.intent !== OUT_OF_SCOPE)
    .map(({ row, answer }) => [labelName(row), labelName(answer)] as const);
  const mistakes = new Map<string, number>();
  for (const [truth, said] of pairs) {
    for (const name of [truth, said]) mistakes.set(name, (mistakes.get(name) ?? 0) + (truth === said ? 0 : 1));
  }
  const all = [...mistakes.entries()].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  const names = all
    .slice(0, limit)
    .map(([name]) => name)
    .sort();
  const counts = names.map((truth) => names.map((said) => pairs.filter(([t, s]) => t === truth && s === said).length));
  return { names, counts, hidden: all.length - names.length };
}

/** The page. */
export function reportPage(report: TrainingReport): string {
  const { evaluation: e, decision } = report;
  const figures: readonly (readonly [string, string])[] = [
    ['accuracy', percent(e.accuracy)],
    ['macro-F1', percent(e.macroF1)],
    ['calibration error', e.calibrationError.toFixed(3)],
    ...(e.outOfScope ? ([['out-of-scope AUROC', e.outOfScope.auroc.toFixed(3)]] as const) : []),
    ['auto-approval', percent(e.autoApprovalRate)],
    ['fallback', percent(e.fallbackRate)],
    ...(e.latencyMs
      ? ([['latency p50 / p99', `${e.latencyMs.p50.toFixed(1)} / ${e.latencyMs.p99.toFixed(1)} ms`]] as const)
      : []),
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Training report ${escape(report.version)}</title><style>${STYLE}</style></head><body><main>
<h1>Training report <code>${escape(report.version)}</code></h1>
<p class="verdict ${decision.verdict}"><strong>${decision.verdict}</strong> ${decision.reasons.map(escape).join(' ')}</p>
<dl>${figures.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join('')}</dl>
<p>${origin(report)}</p>
<p>${number(report.rows.train)} rows to train, ${number(report.rows.dev)} to calibrate, ${number(report.rows.test)} to test.
Left out: ${
    Object.entries(report.dropped)
      .filter(([, rows]) => rows > 0)
      .map(([reason, rows]) => `${number(rows)} ${reason.replaceAll('-', ' ')}`)
      .join(', ') || 'nothing'
  }.</p>
${report.comparison ? comparisonPart(report.comparison) : '<p>Nothing was in production to compare with.</p>'}
${report.history.length > 0 ? `<h2>Learning</h2>${curves(report.history)}` : ''}
<h2>Calibration</h2>${reliabilityPart(e)}
<h2>By language and module</h2>
${table(
  ['language', 'rows', 'accuracy'],
  Object.entries(e.byLanguage).map(([n, s]) => [n, number(s.rows), percent(s.accuracy)]),
)}
${table(
  ['module', 'rows', 'accuracy'],
  Object.entries(e.byModule).map(([n, s]) => [n, number(s.rows), percent(s.accuracy)]),
)}
<h2>Confusions</h2>${matrix(report.confusion)}
<h2>By intent</h2>
${table(
  ['intent', 'rows', 'precision', 'recall', 'F1'],
  Object.entries(e.byIntent)
    .sort(([, a], [, b]) => a.f1 - b.f1)
    .map(([n, s]) => [n, number(s.rows), percent(s.precision), percent(s.recall), percent(s.f1)]),
)}
<h2>Data set</h2><details><summary>manifest, from which <code>samvad export --manifest</code> makes it again</summary><pre>${escape(JSON.stringify(report.manifest, null, 2))}</pre></details>
</main></body></html>
`;
}

const STYLE = `:root{color-scheme:light dark;--ink:#1b1f24;--soft:#6a737d;--line:#d8dee4;--page:#fff;--accent:#0b62c4;--second:#b25e00}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#9aa4af;--line:#30363d;--page:#0f1317;--accent:#6cb0ff;--second:#f0a04b}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:60rem;margin:2rem auto;padding:0 1rem}
h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}dl{display:flex;flex-wrap:wrap;gap:1rem 2rem}dt{color:var(--soft)}dd{margin:0;font-size:1.5rem}
.verdict{padding:.6rem 1rem;border-left:.4rem solid var(--soft);background:color-mix(in srgb,var(--soft) 12%,transparent)}
.promote{border-color:#2da44e}.reject{border-color:#cf222e}.inconclusive{border-color:#bf8700}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.15rem .7rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}td:first-child,th:first-child{text-align:left;white-space:normal}
.texts td,.texts th{text-align:left}.texts td:first-child{min-width:14rem}
.wide{overflow-x:auto}.matrix td,.matrix th{padding:.1rem .3rem;font-size:.75rem;text-align:center}.matrix tbody th{text-align:right;white-space:nowrap}
.matrix thead th{writing-mode:vertical-rl;text-align:left}svg{max-width:100%;height:auto}svg text{fill:var(--soft);font-size:11px}pre{overflow-x:auto}
summary{cursor:pointer}@media(max-width:40rem){svg text{font-size:18px}}`;

function origin({ parent, made, passedOver }: TrainingReport): string {
  const encoder = `Encoder: <code>${escape(JSON.stringify(made.encoder))}</code>.`;
  if (made.external !== null)
    return `Trained by an external program, with these notes: <code>${escape(JSON.stringify(made.external))}</code>. ${encoder}`;
  if (parent !== null) return `Continues from <code>${escape(parent)}</code>. ${encoder}`;
  if (passedOver === null) return `Trained from scratch. ${encoder}`;
  return `Trained from scratch, on all rows: <code>${escape(passedOver)}</code> has no room for new words, was trained on calibration rows, or has another encoder or trainer. ${encoder}`;
}

function comparisonPart(c: Comparison): string {
  const [low, high] = c.interval;
  const flips = (title: string, count: number, rows: readonly Flip[]) =>
    `<details><summary>${title}: ${number(count)}</summary>${table(
      ['text', 'truth', 'production', 'candidate'],
      rows.map((flip) => [flip.text, flip.truth, flip.production, flip.candidate]),
      'texts',
    )}</details>`;
  const changed = Object.entries(c.flipsByIntent).sort(([, a], [, b]) => b.worse - b.better - (a.worse - a.better));
  return `<h2>Against production</h2><p>${percent(c.candidateAccuracy)} against ${percent(c.productionAccuracy)} on the same ${number(c.rows)} rows:
<strong>${points(c.difference)} points</strong>, 95 % interval ${points(low)} to ${points(high)}, McNemar p = ${c.mcnemar.pValue.toPrecision(2)}.</p>
${flips('Got worse', c.mcnemar.onlyProduction, c.worse)}${flips('Got better', c.mcnemar.onlyCandidate, c.better)}
${table(
  ['intent', 'worse', 'better'],
  changed.slice(0, MATRIX).map(([name, f]) => [name, number(f.worse), number(f.better)]),
)}`;
}

/** Training and dev loss over the epochs of the first fit, and dev accuracy. */
function curves(history: readonly EpochReport[]): string {
  const fit = history.filter(({ stage }) => stage === 'fit');
  const losses = fit.map(({ trainLoss }) => trainLoss);
  const dev = fit.map(({ devLoss }) => devLoss ?? NaN);
  const top = Math.max(...losses, ...dev.filter((loss) => !Number.isNaN(loss)), 1e-9);
  const x = (i: number) => 40 + (i * 540) / Math.max(1, fit.length - 1);
  const line = (values: readonly number[], max: number, color: string) => {
    const points = values.flatMap((v, i) =>
      Number.isNaN(v) ? [] : [`${x(i).toFixed(1)},${(170 - (150 * v) / max).toFixed(1)}`],
    );
    return `<polyline fill="none" stroke="${color}" stroke-width="2" points="${points.join(' ')}"/>`;
  };
  const accuracy = fit.map(({ devAccuracy }) => devAccuracy ?? NaN);
  return `<svg viewBox="0 0 600 200" role="img" aria-label="Loss and accuracy by epoch"><path d="M40 20V170H580" fill="none" stroke="var(--line)"/>
<text x="36" y="24" text-anchor="end">${top.toFixed(1)}</text><text x="36" y="172" text-anchor="end">0</text><text x="580" y="188" text-anchor="end">epoch ${fit.length}</text>
${line(losses, top, 'var(--soft)')}${line(dev, top, 'var(--accent)')}${line(accuracy, 1, 'var(--second)')}</svg>
<p><span style="color:var(--soft)">loss in training</span>, <span style="color:var(--accent)">loss on dev</span>, <span style="color:var(--second)">accuracy on dev (top = 100 %)</span></p>`;
}

function reliabilityPart(e: Evaluation): string {
  const bars = e.reliability.map((bin, i) => {
    const [width, left] = [500 / e.reliability.length, 40 + (500 * i) / e.reliability.length];
    const height = 150 * bin.accuracy;
    return bin.rows === 0
      ? ''
      : `<rect x="${(left + 1).toFixed(1)}" y="${(170 - height).toFixed(1)}" width="${(width - 2).toFixed(1)}" height="${height.toFixed(1)}" fill="var(--accent)" opacity=".6"><title>${bin.rows} rows, confidence ${percent(bin.confidence)}, right ${percent(bin.accuracy)}</title></rect>`;
  });
  return `<svg viewBox="0 0 600 200" role="img" aria-label="Accuracy by confidence">${bars.join('')}<path d="M40 170L540 20" stroke="var(--second)" stroke-dasharray="4"/>
<path d="M40 20V170H540" fill="none" stroke="var(--line)"/><text x="40" y="188">0</text><text x="540" y="188" text-anchor="end">confidence 1</text></svg>
<p>Bars show the share of right answers; on the dashed line it equals the confidence. Mean gap: ${e.calibrationError.toFixed(3)}.</p>`;
}

function matrix({ names, counts, hidden }: Confusion): string {
  const largest = Math.max(1, ...counts.flatMap((row, i) => row.filter((_, j) => i !== j)));
  const cell = (count: number, wrong: boolean) => {
    const shade =
      wrong && count > 0
        ? ` style="background:color-mix(in srgb,#cf222e ${Math.round(15 + (70 * count) / largest)}%,transparent)"`
        : '';
    return `<td${shade}>${count > 0 ? count : ''}</td>`;
  };
  const rows = names.map(
    (name, i) =>
      `<tr><th>${escape(name)}</th>${(counts[i] ?? []).map((count, j) => cell(count, i !== j)).join('')}</tr>`,
  );
  return `<p>Rows are the truth, columns the answer${hidden > 0 ? `. The ${names.length} intents with the most mistakes are shown, ${hidden} others are not` : ''}.</p>
<div class="wide" tabindex="0"><table class="matrix"><thead><tr><td></td>${names.map((name) => `<th>${escape(name)}</th>`).join('')}</tr></thead><tbody>${rows.join('')}</tbody></table></div>`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[], kind = 'numbers'): string {
  const line = (cells: readonly string[], tag: 'td' | 'th') =>
    `<tr>${cells.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join('')}</tr>`;
  return `<div class="wide" tabindex="0"><table class="${kind}"><thead>${line(head, 'th')}</thead><tbody>${rows.map((row) => line(row, 'td')).join('')}</tbody></table></div>`;
}

/** A difference of two shares in percentage points, with its sign. */
function points(difference: number): string {
  return `${difference > 0 ? '+' : ''}${(100 * difference).toFixed(1)}`.replace('-', '−');
}

function number(value: number): string {
  return value.toLocaleString('en');
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
