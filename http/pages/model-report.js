// @ts-check
/** The training report of a version: comparison with production, confusions, and weaknesses. */
import { html } from '/assets/lit-html/lit-html.js';
import { count, share, signed } from './format.js';
import { table } from './table.js';

const PAIRS = 12;
const EXAMPLES = 20;
const WEAKEST = 12;

/** @typedef {{ text: string, language: string, truth: string, production: string, candidate: string }} Flip */

/** @param {string} title @param {string} tone @param {number} all @param {Flip[]} rows */
const flips = (title, tone, all, rows) =>
  html`<details ?open=${all > 0 && all <= 5}>
    <summary><span class="badge ${tone}">${count(all)}</span> ${title}</summary>
    ${
      rows.length === 0
        ? ''
        : table(
            title,
            { message: '', truth: '', production: '', 'this version': '' },
            rows.slice(0, EXAMPLES).map(
              (flip) =>
                html`<tr>
                  <td class="text" lang=${flip.language} dir="auto">${flip.text.slice(0, 120)}</td>
                  <td>${flip.truth}</td>
                  <td>${flip.production}</td>
                  <td>${flip.candidate}</td>
                </tr>`,
            ),
          )
    }
    ${all > EXAMPLES ? html`<p class="small quiet">The first ${EXAMPLES}; the report has up to 50.</p>` : ''}
  </details>`;

/** @param {any} comparison @param {string | null} against */
function compared(comparison, against) {
  if (comparison === null)
    return html`<p class="quiet">
      No version with a model file was in production, so there was nothing to compare with.
    </p>`;
  const { better, worse, interval, mcnemar, flipsByIntent } = comparison;
  const [low, high] = interval.map((/** @type {number} */ bound) => signed(bound));
  const changed = Object.entries(flipsByIntent).sort(
    ([, /** @type {any} */ a], [, /** @type {any} */ b]) => b.worse - b.better - (a.worse - a.better),
  );
  return html`<p>
      ${share(comparison.candidateAccuracy)} here, ${share(comparison.productionAccuracy)} by ${against}, on the same
      ${count(comparison.rows)} messages that people labelled: <strong>${signed(comparison.difference)} points</strong>
      <span class="quiet">(95 % interval ${low} to ${high}; McNemar p = ${mcnemar.pValue.toPrecision(2)})</span>
    </p>
    ${flips('fixed: wrong in production, right here', 'good', mcnemar.onlyCandidate, better)}
    ${flips('broken: right in production, wrong here', 'bad', mcnemar.onlyProduction, worse)}
    ${
      changed.length === 0
        ? ''
        : html`<details>
            <summary>By intent</summary>
            ${table(
              'Flips by intent',
              { intent: '', fixed: 'number', broken: 'number' },
              changed.map(
                ([name, /** @type {any} */ one]) =>
                  html`<tr>
                    <td>${name}</td>
                    <td class="number">${count(one.better)}</td>
                    <td class="number">${count(one.worse)}</td>
                  </tr>`,
              ),
            )}
          </details>`
    }`;
}

/** Confused pairs of intents with their counts, most frequent first. @param {{ names: string[], counts: number[][] }} confusion */
const mixedUp = ({ names, counts }) =>
  counts
    .flatMap((row, truth) =>
      row.map((rows, said) => ({ truth: names[truth] ?? '', said: names[said] ?? '', rows, wrong: truth !== said })),
    )
    .filter(({ rows, wrong }) => wrong && rows > 0)
    .sort((a, b) => b.rows - a.rows);

/** @param {any} confusion */
function confusions(confusion) {
  const pairs = mixedUp(confusion);
  if (pairs.length === 0) return html`<p class="quiet">No intent was confused with another.</p>`;
  return table(
    'Confusions',
    { 'right intent': '', 'answer of the model': '', messages: 'number' },
    pairs.slice(0, PAIRS).map(
      ({ truth, said, rows }) =>
        html`<tr>
          <td>${truth}</td>
          <td>${said}</td>
          <td class="number">${count(rows)}</td>
        </tr>`,
    ),
  );
}

/** @param {any} evaluation */
const languages = ({ byLanguage }) =>
  table(
    'Accuracy by language',
    { language: '', messages: 'number', right: 'number' },
    Object.entries(byLanguage)
      .sort(([, /** @type {any} */ a], [, /** @type {any} */ b]) => b.rows - a.rows)
      .map(
        ([name, /** @type {any} */ one]) =>
          html`<tr>
            <td>${name}</td>
            <td class="number">${count(one.rows)}</td>
            <td class="number">${share(one.accuracy)}</td>
          </tr>`,
      ),
  );

/** @param {any} evaluation */
function intents({ byIntent }) {
  const all = Object.entries(byIntent).sort(
    ([, /** @type {any} */ a], [, /** @type {any} */ b]) => a.f1 - b.f1 || b.rows - a.rows,
  );
  const rows = (/** @type {typeof all} */ some) =>
    table(
      'Quality by intent',
      { intent: '', messages: 'number', recall: 'number', precision: 'number', F1: 'number' },
      some.map(
        ([name, /** @type {any} */ one]) =>
          html`<tr>
            <td>${name}</td>
            <td class="number">${count(one.rows)}</td>
            <td class="number">${share(one.recall)}</td>
            <td class="number">${share(one.precision)}</td>
            <td class="number">${share(one.f1)}</td>
          </tr>`,
      ),
    );
  const rest = all.slice(WEAKEST);
  return html`${rows(all.slice(0, WEAKEST))}
  ${
    rest.length === 0
      ? ''
      : html`<details>
          <summary>${count(rest.length)} more</summary>
          ${rows(rest)}
        </details>`
  }`;
}

/** @param {any} report A report as `samvad models report` prints it. */
export const reportSections = (report) =>
  html` <section class="card">
      <h2>Against production</h2>
      ${compared(report.comparison, report.comparedWith)}
    </section>
    <div class="grid">
      <section class="card">
        <h2>Confusions</h2>
        ${confusions(report.confusion)}
      </section>
      <section class="card">
        <h2>By language</h2>
        ${languages(report.evaluation)}
      </section>
    </div>
    <section class="card">
      <h2>By intent, the weakest first</h2>
      ${intents(report.evaluation)}
    </section>`;
