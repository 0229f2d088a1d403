// @ts-check
/** Tables, which scroll by themselves where the screen is narrow. */
import { html } from '/assets/lit-html/lit-html.js';

/**
 * A table with its columns' titles, to the right where they stand over numbers.
 * @param {string} label What it holds, for screen readers.
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
