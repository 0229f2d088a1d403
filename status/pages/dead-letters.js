// @ts-check
/** What could not be processed, and another try at it after the cause was mended. */
import { html } from '/assets/lit-html/lit-html.js';
import { ask, show, showError } from './api.js';
import { count, moment } from './format.js';

let said = '';

/** @param {string[]} ids */
async function replay(ids) {
  try {
    const { sent } = await ask('/v1/dead-letters/replay', { method: 'POST', body: { ids } });
    said = `Sent ${count(sent)} again. What still can't be processed comes back as a new letter.`;
    await load();
  } catch (error) {
    said = error instanceof Error ? error.message : String(error);
    await load();
  }
}

/** @param {any} letter */
const card = (letter) =>
  html`<section class="card">
    <h2><span class="badge bad">${letter.code}</span> ${letter.message}</h2>
    <p class="small quiet">
      ${letter.component}, from ${letter.topic} / ${letter.partition} @ ${letter.offset}, ${moment(letter.timestamp)},
      ${count(letter.bytes)} bytes, key ${letter.key ?? 'none'}${letter.trace_id ? `, trace ${letter.trace_id}` : ''}
    </p>
    <details>
      <summary>Its bytes</summary>
      <pre class="mono scroll" tabindex="0">${letter.text ?? ''}</pre>
      <p class="small quiet">base64</p>
      <pre class="mono scroll" tabindex="0">${letter.base64 ?? ''}</pre>
    </details>
    ${letter.replayable ? html`<p><button type="button" @click=${() => replay([letter.id])}>Send it again</button></p>` : html`<p class="small quiet">From a topic of the pipeline itself: mend the cause, then <code>samvad rebuild</code>.</p>`}
  </section>`;

/** @param {{ total: number, letters: any[] }} answer */
function view({ total, letters }) {
  const ids = letters.filter(({ replayable }) => replayable).map(({ id }) => id);
  return html` ${said === '' ? '' : html`<p class="notice" role="status">${said}</p>`}
  ${
    total === 0
      ? html`<p class="card">None. Every record of the last 30 days could be processed.</p>`
      : html`<div class="row">
          <p>${count(total)} in 30 days${letters.length < total ? `, the newest ${letters.length} are shown` : ''}.</p>
          ${ids.length > 0 ? html`<button type="button" @click=${() => replay(ids)}>Send all ${ids.length} again</button>` : ''}
        </div>`
  }
  ${letters.map(card)}`;
}

const load = () => ask('/v1/dead-letters').then((answer) => show(view(answer)), showError);
await load();
