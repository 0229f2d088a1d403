// @ts-check
/** Dead letters, and sending them again: unchanged after the cause was fixed, or corrected here. */
import { html } from '/assets/lit-html/lit-html.js';
import { ask, session, show, showError } from './api.js';
import { count, moment } from './format.js';
import { table } from './table.js';
import { idle, told, working } from './work.js';

/** @type {any} */
const state = {
  list: undefined,
  letter: undefined,
  draft: '',
  roles: [],
  ...idle,
};

const doing = working(state, () => update(), 'record');

/** @param {string[]} ids */
const replay = (ids) =>
  doing(async () => {
    const { sent } = await ask('/v1/dead-letters/replay', { method: 'POST', body: { ids } });
    await load();
    return `Sent ${count(sent)} again. What still can't be processed comes back as a new letter.`;
  });

const correct = () =>
  doing(async () => {
    const record = JSON.parse(state.draft);
    await ask(`/v1/dead-letters/${state.letter.id}/correct`, { method: 'POST', body: { record } });
    await load();
    return "Sent the corrected record. If it still can't be processed, it comes back as a new letter.";
  });

const may = () => state.roles.includes('operate');

/** @param {any} letter */
const origin = (letter) =>
  html`<p class="small quiet">
    ${letter.component}, from ${letter.topic} / ${letter.partition} @ ${letter.offset}, ${moment(letter.timestamp)},
    ${count(letter.bytes)} bytes, key ${letter.key ?? 'none'}${letter.trace_id ? `, trace ${letter.trace_id}` : ''}
  </p>`;

/** @param {any} replayed */
const again = (replayed) =>
  html`<div>
    <span class="badge good">sent again</span> ${moment(replayed.at)} by
    ${replayed.by}${replayed.corrected ? ', corrected' : ', unchanged'}
  </div>`;

/** @param {any} letter */
const heading = (letter) =>
  html`<span class="badge ${letter.replayed ? '' : 'bad'}">${letter.code}</span> ${letter.message}`;

/** @param {string} label @param {any[]} letters */
const letterTable = (label, letters) =>
  table(
    label,
    { reason: '', from: '', when: '' },
    letters.map(
      (letter) =>
        html`<tr>
          <td class="text">
            <span class="badge ${letter.replayed ? '' : 'bad'}">${letter.code}</span>
            <a href=${`?id=${letter.id}`}>${letter.message.slice(0, 160)}</a
            >${letter.replayed ? again(letter.replayed) : ''}
          </td>
          <td class="small">${letter.topic} / ${letter.partition} @ ${letter.offset}</td>
          <td class="small quiet">${moment(letter.timestamp)}</td>
        </tr>`,
    ),
  );

function list() {
  const { total, open, letters } = state.list;
  const waiting = letters.filter((/** @type {any} */ letter) => !letter.replayed);
  const sent = letters.filter((/** @type {any} */ letter) => letter.replayed);
  const ids = waiting.filter((/** @type {any} */ letter) => letter.replayable).map((/** @type {any} */ one) => one.id);
  return html`${told(state)}
    <section class="card">
      <h2>${open === 0 ? 'None is open' : `${count(open)} open`}</h2>
      ${total === 0 ? html`<p class="quiet">Every record of the last 30 days could be processed.</p>` : ''}
      ${waiting.length === 0 ? '' : letterTable('Open dead letters', waiting)}
      ${ids.length > 0 && may() ? html`<p><button type="button" ?disabled=${state.busy} @click=${() => replay(ids)}>Send all ${ids.length} again unchanged</button></p>` : ''}
      ${waiting.length < open ? html`<p class="small quiet">The newest ${waiting.length} are shown; <code>samvad dead-letters list</code> has all.</p>` : ''}
    </section>
    ${
      sent.length === 0
        ? ''
        : html`<section class="card">
            <h2>${count(total - open)} sent again</h2>
            ${letterTable('Dead letters that were sent again', sent)}
            ${sent.length < total - open ? html`<p class="small quiet">The newest ${sent.length} are shown.</p>` : ''}
          </section>`
    }`;
}

/** @param {any} letter */
function editor(letter) {
  if (letter.replayed) return '';
  if (!may()) return html`<p class="small quiet">Sending it again requires a token with the role operate.</p>`;
  if (!letter.replayable && letter.draft === null)
    return html`<p class="small quiet">
      ${
        letter.code === 'too-large'
          ? 'Too large for its topic: its producer has to send it again in a shorter form.'
          : html`From a topic of the pipeline itself: fix the cause, then run <code>samvad rebuild</code>.`
      }
    </p>`;
  const asItWas = !letter.replayable
    ? ''
    : html`<button type="button" ?disabled=${state.busy} @click=${() => replay([letter.id])}>Send unchanged</button>`;
  if (letter.draft === null)
    return html`<p>${asItWas}</p>
      <p class="small quiet">Its bytes are not a readable record, so it can't be corrected here.</p>`;
  return html`<label for="record">The record, as the API takes it</label>
    <textarea
      id="record"
      rows="18"
      spellcheck="false"
      .value=${state.draft}
      @input=${(/** @type {any} */ event) => (state.draft = event.target.value)}
    ></textarea>
    <p class="row">
      <button type="button" class="main" ?disabled=${state.busy} @click=${correct}>Send corrected</button>${asItWas}
    </p>`;
}

/** @param {any} letter */
const bytes = (letter) =>
  html`<details>
    <summary>Its bytes</summary>
    <pre class="mono scroll" tabindex="0" role="region" aria-label="As text">${letter.text ?? ''}</pre>
    <p class="small quiet">base64${letter.bytes > 4096 ? ', the beginning' : ''}</p>
    <pre class="mono scroll" tabindex="0" role="region" aria-label="As base64">${letter.base64 ?? ''}</pre>
  </details>`;

function detail() {
  const { letter } = state;
  return html`<p><a href="/dead-letters">All dead letters</a></p>
    <section class="card">
      <h2>${heading(letter)}</h2>
      ${letter.replayed ? again(letter.replayed) : ''}${origin(letter)}${editor(letter)}${told(state)}
    </section>
    <section class="card">
      ${may() ? bytes(letter) : html`<p class="small quiet">The content may include personal data that was not masked. Only tokens with the role operate can see it.</p>`}
    </section>`;
}

const update = () => show(state.letter ? detail() : list());

/** Loads the list or the letter. Leaves the typed draft as it is. */
async function load() {
  const id = new URLSearchParams(location.search).get('id');
  if (id === null) state.list = await ask('/v1/dead-letters');
  else {
    const [partition = '', offset = ''] = id.split('/').map(encodeURIComponent);
    state.letter = await ask(`/v1/dead-letters/${partition}/${offset}`);
  }
}

try {
  state.roles = (await session()).roles;
  await load();
  if (state.letter?.draft) state.draft = JSON.stringify(state.letter.draft, undefined, 2);
  update();
} catch (error) {
  showError(error);
}
