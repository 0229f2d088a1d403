// @ts-check
/** The routing policy in force, its history, and a draft whose effect on past traffic must be seen before it can be adopted. */
import { html } from '/assets/lit-html/lit-html.js';
import { ask, session, show, showError } from './api.js';
import { count, moment, share } from './format.js';
import { table } from './table.js';
import { idle, told, working } from './work.js';

/** @type {any} */
const state = {
  history: [],
  session: { needed: false, roles: [] },
  draft: '',
  /** The draft that `report` describes. */
  tried: undefined,
  days: 7,
  reason: '',
  by: '',
  report: undefined,
  ...idle,
};

const doing = working(state, () => update(), 'policy');

const tryIt = () =>
  doing(async () => {
    state.report = undefined;
    const { draft, days } = state;
    state.report = await ask('/v1/policies/what-if', { method: 'POST', body: { policy: JSON.parse(draft), days } });
    state.tried = draft;
    return '';
  });

const adopt = () =>
  doing(async () => {
    const { version, outcome } = await ask('/v1/policies', {
      method: 'POST',
      body: {
        policy: JSON.parse(state.draft),
        reason: state.reason,
        ...(!state.session.needed && { adopted_by: state.by }),
      },
    });
    state.history = await ask('/v1/policies');
    return outcome === 'in force'
      ? `${version} is in force.`
      : outcome === 'known'
        ? `${version} was adopted before with the same rules; nothing changed.`
        : `${version} is in the log; intake has not processed it yet.`;
  });

/** @param {any} wrong */
const wrongs = ({ unknown, expected, interval, judged }) =>
  expected === null
    ? html`–
        <div class="small quiet">none was judged</div>`
    : html`${expected.toFixed(1)}
        <div class="small quiet">${interval.map((/** @type {number} */ n) => n.toFixed(1)).join(' to ')}</div>
        <div class="small quiet">from ${count(judged)} answers</div>
        ${unknown > 0 ? html`<div class="small">${count(unknown)} not estimated</div>` : ''}`;

/** @param {any} report */
function reported(report) {
  const moved = report.transitions.filter((/** @type {any} */ one) => one.from !== one.to);
  return html`<section class="card" aria-live="polite">
    <h2>What ${report.policy} would have done</h2>
    <p>${count(report.conversations)} conversations.${report.conversations === 0 ? ' Take more days.' : ''}</p>
    ${table(
      'Effect',
      { what: '', was: 'number', 'would be': 'number' },
      [
        ['for people', count(report.review.before.conversations), count(report.review.after.conversations)],
        ['hours of review', report.review.before.hours.toFixed(1), report.review.after.hours.toFixed(1)],
        ['auto-approved', count(report.wrong.before.auto_approved), count(report.wrong.after.auto_approved)],
        [
          html`wrong, expected
            <div class="small quiet">95 % interval</div>`,
          wrongs(report.wrong.before),
          wrongs(report.wrong.after),
        ],
      ].map(
        ([what, was, wouldBe]) =>
          html`<tr>
            <td>${what}</td>
            <td class="number">${was}</td>
            <td class="number">${wouldBe}</td>
          </tr>`,
      ),
    )}
    <h3>What would be routed differently</h3>
    ${moved.length === 0 ? html`<p class="quiet">Nothing: every conversation would get the same route.</p>` : ''}
    ${moved.map(
      (/** @type {any} */ one) =>
        html`<p>
            <strong
              >${one.from.replaceAll('_', '-')} → ${one.to.replaceAll('_', '-')}: ${count(one.conversations)}</strong
            >
          </p>
          <ul>
            ${one.examples.map((/** @type {any} */ e) => html`<li><span lang=${e.language} dir="auto">${e.user_message.slice(0, 90)}</span> <span class="quiet small">${e.nlu_module} / ${e.nlu_intent}, ${share(e.nlu_confidence)}</span></li>`)}
          </ul>`,
    )}
  </section>`;
}

/** @param {Record<string, any>} exception */
const exceptionLine = ({ module, intent, language, thresholds }) =>
  html`<div>
    ${[module, intent, language].filter(Boolean).join(' / ')}: ${share(thresholds.trust)}, ${share(thresholds.doubt)}
  </div>`;

/** Whether the page shows the effect of the current draft. */
const seen = () => state.report !== undefined && state.tried === state.draft;

/** @param {any} event */
function edited(event) {
  state.draft = event.target.value;
  update();
}

/** @param {string} name */
const typed = (name) => (/** @type {any} */ event) =>
  void (state[name] = name === 'days' ? Number(event.target.value) : event.target.value);

function view() {
  const current = state.history.at(-1);
  const { thresholds, exceptions, audit_share, version } = current.policy;
  const may = state.session.roles.includes('operate');
  return html` <section class="card">
      <h2>In force: ${version}</h2>
      <dl class="facts">
        <dt>auto-approved above</dt>
        <dd>${share(thresholds.trust)} confidence</dd>
        <dt>priority review below</dt>
        <dd>${share(thresholds.doubt)} confidence</dd>
        <dt>exceptions</dt>
        <dd>${exceptions.length === 0 ? 'none' : exceptions.map(exceptionLine)}</dd>
        <dt>audited</dt>
        <dd>${share(audit_share)} of what is auto-approved</dd>
        <dt>since</dt>
        <dd>${moment(current.adopted_at)}${current.adopted_by ? `, by ${current.adopted_by}` : ''}</dd>
        <dt>why</dt>
        <dd>${current.reason}</dd>
      </dl>
    </section>
    <section class="card">
      <h2>History</h2>
      ${table(
        'History',
        { version: '', 'auto-approved above': 'number', 'priority review below': 'number', since: '', why: '' },
        state.history.toReversed().map(
          (/** @type {any} */ one) =>
            html`<tr>
              <td>${one.policy.version}</td>
              <td class="number">${share(one.policy.thresholds.trust)}</td>
              <td class="number">${share(one.policy.thresholds.doubt)}</td>
              <td class="small quiet">${moment(one.adopted_at)}</td>
              <td class="text">${one.reason}</td>
            </tr>`,
        ),
      )}
    </section>
    <section class="card">
      <h2>Another policy</h2>
      <label for="policy">The policy as JSON, under a new version</label>
      <textarea id="policy" rows="16" spellcheck="false" .value=${state.draft} @input=${edited}></textarea>
      <div class="form">
        <label
          >Days of past traffic<input
            type="number"
            min="1"
            max="3650"
            .value=${String(state.days)}
            @input=${typed('days')}
        /></label>
        <button type="button" class="main" ?disabled=${state.busy} @click=${tryIt}>See its effect</button>
      </div>
      ${
        may
          ? html`<div class="form">
                ${state.session.needed ? '' : html`<label>Your name<input autocomplete="name" .value=${state.by} @input=${typed('by')} /></label>`}
                <label>Why<input size="40" .value=${state.reason} @input=${typed('reason')} /></label>
                <button type="button" ?disabled=${state.busy || !seen()} @click=${adopt}>Adopt it</button>
              </div>
              <p class="quiet small">
                See its effect first. The policy applies to conversations that arrive after its adoption; earlier ones
                keep their routes.
              </p>`
          : html`<p class="quiet small">Adopting it requires a token with the role operate.</p>`
      }
      ${state.busy ? html`<p role="status">Working …</p>` : ''} ${told(state)}
    </section>
    ${state.report ? reported(state.report) : ''}`;
}

const update = () => show(view());

try {
  [state.history, state.session] = await Promise.all([ask('/v1/policies'), session()]);
  const { policy } = state.history.at(-1);
  // The draft gets the next number; a version without a number counts as the first.
  const [, name, number] = /^(.*?)(\d*)$/.exec(policy.version) ?? [];
  const version = number ? `${name}${Number(number) + 1}` : `${name}-2`;
  state.draft = JSON.stringify({ ...policy, version }, undefined, 2);
  update();
} catch (error) {
  showError(error);
}
