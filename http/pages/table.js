// @ts-check
/** Tables that scroll horizontally on narrow screens, and tiles with one figure each. */
import { html } from '/assets/lit-html/lit-html.js';

/**
 * A table with column titles; titles of number columns are right-aligned.
 * @param {string} label Its content, for screen readers.
 * @param {Record<string, '' | 'number'>} columns
 * @param {unknown[]} rows Templates of `tr`.
 */
export const table = (label, columns, rows) =>
  html`<div class="scroll" tabindex="0" role="region" aria-label=${label}>
    <table>
      <thead>
        <tr>
          ${Object.entries(columns).map(([title, kind]) => html`<th class=${kind}>${title}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </div>`;

/** A figure with its name, and a remark. @param {string} label @param {unknown} value @param {unknown} [below] */
export const tile = (label, value, below) =>
  html`<div class="tile">
    <div class="label">${label}</div>
    <div class="figure" data-figure=${label}>${value}</div>
    ${below ? html`<div class="quiet small">${below}</div>` : ''}
  </div>`;
