// @ts-check
import { html } from '/assets/lit-html/lit-html.js';
import { ask, show, showError } from './api.js';

/** @param {{ totals: Record<string, number> }} status */
const view = ({ totals }) => html`
  <div class="tiles">
    ${Object.entries(totals).map(
      ([name, count]) =>
        html`<div class="tile">
          <div class="label">${name}</div>
          <div class="figure">${count}</div>
        </div>`,
    )}
  </div>
`;

ask('/v1/status').then((status) => show(view(status)), showError);
