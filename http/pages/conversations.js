// @ts-check
/** Search, and one conversation with its history. The address contains the query or the id, so it can be shared. */
import { live } from '/assets/lit-html/directives/live.js';
import { html } from '/assets/lit-html/lit-html.js';
import { ask, show, showError } from './api.js';
import { moment, share, tone } from './format.js';
import { table } from './table.js';
import { answered, reason } from './words.js';

const FILTERS = /** @type {const} */ ([
  ['route', 'Route', ['auto-approved', 'needs-review', 'priority-review']],
  ['review_status', 'Standing', ['auto-approved', 'needs-review', 'approved', 'rejected', 'skipped']],
  ['nlu_provider', 'Provider', ['indicbert', 'llm', 'other']],
]);

const address = () => new URLSearchParams(location.search);

/** @param {URLSearchParams} search */
function go(search) {
  history.pushState(null, '', `?${search}`);
  load();
}

/** @param {SubmitEvent & { currentTarget: HTMLFormElement }} event */
function search(event) {
  event.preventDefault();
  const fields = new URLSearchParams();
  for (const [name, value] of new FormData(event.currentTarget)) if (value !== '') fields.set(name, String(value));
  go(fields);
}

/** @param {string} id */
const link = (id) => `?id=${encodeURIComponent(id)}`;

/** The list. `live` resets the fields to the values in the address, even if a person has changed them meanwhile. @param {any[]} rows */
function list(rows) {
  const asked = address();
  const last = rows.length === 50 ? rows.at(-1) : undefined;
  const older = new URLSearchParams(asked);
  if (last) {
    older.set('before', last.created_at);
    older.set('before_id', last.conversation_id);
  }
  return html` <form class="form" role="search" @submit=${search}>
      <label class="whole"
        >Message or id<input name="q" type="search" dir="auto" .value=${live(asked.get('q') ?? '')}
      /></label>
      ${FILTERS.map(
        ([name, title, values]) =>
          html`<label
            >${title}<select name=${name}>
              ${['', ...values].map((value) => html`<option value=${value} .selected=${live((asked.get(name) ?? '') === value)}>${value || 'any'}</option>`)}
            </select></label
          >`,
      )}
      <label>Language<input name="language" size="6" .value=${live(asked.get('language') ?? '')} /></label>
      <label>Intent<input name="nlu_intent" size="14" .value=${live(asked.get('nlu_intent') ?? '')} /></label>
      <button class="main whole">Search</button>
    </form>
    <section class="card">
      ${
        rows.length === 0
          ? html`<p class="quiet">
              ${asked.size === 0 ? html`No conversations yet. Send some with <code>npx samvad ingest FILE.jsonl</code>.` : html`No conversation matches. <a href="/conversations">Show all</a>`}
            </p>`
          : html`${table(
              'Conversations',
              { message: '', intent: '', confidence: 'number', route: '', standing: '', when: '' },
              rows.map(
                (row) =>
                  html`<tr>
                    <td class="text" lang=${row.language} dir="auto">
                      <a href=${link(row.conversation_id)}>${row.user_message.slice(0, 120)}</a>
                    </td>
                    <td>${row.nlu_module} / ${row.nlu_intent}</td>
                    <td class="number">${share(row.nlu_confidence)}</td>
                    <td>${row.route ?? 'chosen by chance'}</td>
                    <td><span class="badge ${tone(row.review_status)}">${row.review_status}</span></td>
                    <td class="small quiet">${moment(row.created_at)}</td>
                  </tr>`,
              ),
            )}
            ${last ? html`<p><a class="button" href=${`?${older}`}>Older</a></p>` : ''}`
      }
    </section>`;
}

/** @param {string} name @param {unknown} value */
const fact = (name, value) =>
  value == null || value === ''
    ? ''
    : html`<dt>${name}</dt>
        <dd>${value}</dd>`;

/** Entities as `name: value`. @param {any[]} found */
const entities = (found) =>
  found.length === 0
    ? null
    : found.map(({ name, value }, i) => html`${i === 0 ? '' : ', '}<bdi>${name}</bdi>: <bdi>${value}</bdi>`);

/** A version of this system as a link; versions of other systems have no page. @param {string} version */
const versionLink = (version) =>
  /^router-v\d/.test(version)
    ? html`<a href=${`/models?version=${encodeURIComponent(version)}`}>${version}</a>`
    : version;

/** @type {Record<string, string>} */
const PROVIDERS = { indicbert: 'IndicBERT', llm: 'The language model' };

/** Title and text of a timeline entry. @param {any} e */
function story(e) {
  const label = html`<bdi>${e.module} / ${e.intent}</bdi>`;
  if (e.what === 'captured')
    return [
      'Captured',
      e.provider === null
        ? html`The model said ${label}`
        : html`${PROVIDERS[e.provider] ?? e.provider}${e.model_version ? html`, ${versionLink(e.model_version)}` : ''}
          said ${label}, confidence ${share(e.confidence)}`,
    ];
  if (e.what === 'routed' && e.route === null)
    return ['Waits for a person', 'chosen by chance, so how it was routed is shown when it is answered'];
  if (e.what === 'routed')
    return [`Routed: ${e.route.replaceAll('_', '-')}`, `by ${e.policy_version}; ${e.reasons.map(reason).join(', ')}`];
  if (e.what === 'sample approved')
    return [
      'Became a sample',
      html`${label}, ${e.source === 'human' ? html`confirmed by <bdi>${e.reviewer}</bdi>` : 'automatic'}`,
    ];
  if (e.what === 'sample withdrawn') return ['Sample withdrawn', html`${label}: ${e.reason}`];
  const { verdict, reviewer, corrected_module: module, corrected_intent: intent } = e.review;
  if (e.what === 'withdrew')
    return ['An answer was withdrawn', html`by <bdi>${reviewer}</bdi>; it is ${e.review_status} again`];
  return [
    `Reviewed: ${answered(verdict)}`,
    html`by <bdi>${reviewer}</bdi>${intent ? html`, it is <bdi>${module} / ${intent}</bdi>` : ''}`,
  ];
}

/** @param {any} c */
function detail(c) {
  /** @type {[at: string, title: unknown, text: unknown][]} */
  const timeline = c.timeline.map((/** @type {any} */ entry) => [entry.at, ...story(entry)]);
  for (const { at, version } of c.trained) {
    const later = timeline.findIndex((entry) => entry[0] > at);
    const trained = html`${versionLink(version)} was trained on its sample`;
    timeline.splice(later === -1 ? timeline.length : later, 0, [at, 'Trained a version', trained]);
  }
  return html` <p><a href="/conversations">All conversations</a></p>
    <section class="card">
      <h2 lang=${c.language} dir="auto">${c.user_message}</h2>
      <p><span class="badge ${tone(c.review_status)}">${c.review_status}</span></p>
      <dl class="facts">
        ${fact('id', html`<span class="mono">${c.conversation_id}</span>`)}${fact('language', c.language)}${fact('user', c.user_id)}${fact('session', c.session_id)}${fact('served by', c.routing_target)}${fact('took', c.processing_time_ms == null ? null : `${c.processing_time_ms} ms`)}${fact('entities', entities(c.entities ?? []))}
      </dl>
    </section>
    <section class="card">
      <h2>Timeline</h2>
      <ol class="timeline">
        ${timeline.map(
          ([at, title, text]) =>
            html`<li>
              <strong>${title}</strong> <span class="quiet small">${moment(at)}</span>
              <div>${text}</div>
            </li>`,
        )}
      </ol>
    </section>`;
}

/** Shows what the address names, unless the address has changed when the response arrives. */
async function load() {
  const asked = location.search;
  const search = address();
  const id = search.get('id');
  document.title = `${id ?? 'Conversations'} · Samvad`;
  try {
    const answer = await ask(
      id === null ? `/v1/conversations?${search}` : `/v1/conversations/${encodeURIComponent(id)}`,
    );
    if (location.search === asked) show(id === null ? list(answer) : detail(answer));
  } catch (error) {
    if (location.search === asked) showError(error);
  }
}

addEventListener('popstate', load);
await load();
