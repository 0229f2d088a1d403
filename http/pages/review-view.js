// @ts-check
/** The templates of the review page. */
import { html, nothing } from '/assets/lit-html/lit-html.js';
import { nameOf } from './label-picker.js';
import { reason } from './words.js';

/**
 * @typedef {import('./label-picker.js').Label} Label
 * @typedef {{ conversation_id: string, user_message: string, language: string, nlu_intent: string, nlu_module: string,
 *   nlu_confidence: number | null, model_version: string | null, route: string | null, reasons: string[], created_at: string,
 *   entities: { name: string, value: string, start: number | null, end: number | null }[],
 *   runners_up: (Label & { confidence?: number })[], suggestions: (Label & { times: number })[],
 *   group: Alike[], similar: (Alike & { joined: boolean })[] }} Task
 * @typedef {{ conversation_id: string, user_message: string, language: string }} Alike
 * @typedef {{ name: string, waiting: number }[]} Counts
 * @typedef {{ reviewer: string, items: Task[], asGroup: boolean, ticks: Map<string, boolean>, keys: boolean, whole: string, loaded: boolean, looking: boolean, trouble: string, news: string, unasked: boolean,
 *   filter: { module: string, language: string, route: string }, waiting: number, modules: Counts, languages: Counts,
 *   routes: Counts, progress: { mine: number, everyone: number, median_ms: number | null },
 *   unsent: number, ofOthers: Map<string, import('./outbox.js').Entry[]>, tokens: boolean, refused: import('./outbox.js').RefusedEntry[], undo: string }} State
 * @typedef {{ approve(): void, choose(label: Label): void, correct(): void, reject(): void, skip(): void, undo(): void,
 *   toggleGroup(): void, tick(messages: Alike[], on: boolean): void, tickSimilar(): void, toggleKeys(): void, rename(): void, signOut(): void, show(task: Task): void, showWhole(task: Task): void, forget(keys: string[]): void, discard(name: string, entries: import('./outbox.js').Entry[]): void,
 *   filter(name: string, value: string): void, sign(event: Event): void }} Acts
 */

/** A longer message is cut until the reviewer asks for all of it. */
const MAX_SHOWN = 2000;

/** Labels that a reviewer can choose with one key: runners-up, then labels to which people corrected this prediction before.
 * @param {Task} task @returns {(Label & { note: string })[]} */
export function choices({ nlu_module, nlu_intent, runners_up, suggestions }) {
  const all = [
    ...runners_up.map(({ confidence, ...label }) => ({
      ...label,
      note: confidence === undefined ? '' : percent(confidence),
    })),
    ...suggestions.map(({ times, ...label }) => ({ ...label, note: `corrected to this ${String(times)} ×` })),
  ];
  const seen = new Set([nameOf({ module: nlu_module, intent: nlu_intent })]);
  return all.filter((label) => !seen.has(nameOf(label)) && seen.add(nameOf(label))).slice(0, 6);
}

/** @param {number} share */
const percent = (share) => `${(100 * share).toFixed(0)} %`;

/** @param {Acts} acts */
export const signView = (acts) =>
  html`<form class="card form" @submit=${acts.sign}>
    <label
      >Your name, to be shown with your answers
      <input name="reviewer" required maxlength="200" autocomplete="username" />
    </label>
    <button class="main">Begin</button>
  </form>`;

/** @param {State} state @param {Acts} acts */
export const pageView = (state, acts) => html`
  ${barView(state, acts)} ${noticesView(state, acts)}
  <p class=${state.unasked ? 'notice' : 'hidden'} role="status" aria-live="polite" id="news">${state.news}</p>
  <div class="desk">
    <section class="work" aria-label="The item">
      ${state.items[0] ? taskView(state.items[0], state, acts) : emptyView(state)}
    </section>
    ${sideView(state, acts)}
  </div>
`;

/** @param {State} state @param {Acts} acts */
function barView({ filter, modules, languages, routes, loaded, waiting, progress }, acts) {
  const select = (
    /** @type {string} */ name,
    /** @type {string} */ all,
    /** @type {Counts} */ counts,
    /** @type {string} */ value,
  ) =>
    html`<label
      >${name}
      <select
        data-filter=${name.toLowerCase()}
        .value=${value}
        @change=${(/** @type {any} */ e) => acts.filter(name.toLowerCase(), e.target.value)}
      >
        <option value="">${all}</option>
        ${withChosen(counts, value).map((one) => html`<option value=${one.name} .selected=${one.name === value}>${one.name} (${one.waiting})</option>`)}
      </select>
    </label>`;
  const seconds = progress.median_ms === null ? '' : ` · ${(progress.median_ms / 1000).toFixed(1)} s each`;
  return html`<div class="bar">
    <div class="filters" role="group" aria-label="Filters">
      ${select('Module', 'All modules', modules, filter.module)}
      ${select('Language', 'All languages', languages, filter.language)}
      ${select('Route', 'All routes', routes, filter.route)}
    </div>
    ${
      loaded
        ? html`<div class="today">
            <label for="today"
              >Today <b>${progress.mine}</b> by you${seconds}, <b>${progress.everyone}</b> by all ·
              <b id="waiting">${waiting}</b> waiting</label
            >
            <progress id="today" max=${Math.max(1, progress.everyone + waiting)} value=${progress.everyone}></progress>
          </div>`
        : nothing
    }
  </div>`;
}

/**
 * Adds the selected value if nothing of it waits any more, so that the filter stays visible and can be changed.
 * @param {Counts} counts @param {string} value @returns {Counts}
 */
const withChosen = (counts, value) =>
  value === '' || counts.some(({ name }) => name === value) ? counts : [...counts, { name: value, waiting: 0 }];

/** @param {State} state @param {Acts} acts */
const noticesView = ({ trouble, unsent, ofOthers, refused }, acts) => html`
  ${trouble === '' ? nothing : html`<p class="notice bad" role="alert" id="trouble">${trouble}${unsent > 0 ? ` ${String(unsent)} answers are kept in this browser and will be sent automatically.` : ''}</p>`}
  ${[...ofOthers].map(([name, entries]) => othersView(name, entries, acts))}
  ${alikeRefused(refused).map(
    ({ keys, why, reviewer }) =>
      html`<div class="notice bad row" role="alert">
        <span
          >${keys.length === 1 ? 'An answer' : `${String(keys.length)} answers`} of ${reviewer}
          ${keys.length === 1 ? 'was' : 'were'} not taken: ${why}</span
        >
        <button type="button" @click=${() => acts.forget(keys)}>Dismiss</button>
      </div>`,
  )}
`;

/** Answers of a person who is not signed in, and may never sign in again: they can be downloaded or dismissed.
 * @param {string} name @param {import('./outbox.js').Entry[]} entries @param {Acts} acts */
function othersView(name, entries, acts) {
  const answers = entries.flatMap(({ body }) =>
    body['answers'].map((/** @type {object} */ one) => ({ reviewer: name, ...one })),
  );
  const lines = answers.map((one) => JSON.stringify(one)).join('\n');
  return html`<div class="notice row" role="status">
    <span
      >${answers.length === 1 ? `1 answer of ${name} waits` : `${String(answers.length)} answers of ${name} wait`} for
      ${name} to sign in on this browser.</span
    >
    <a download="answers.jsonl" href=${`data:application/x-ndjson,${encodeURIComponent(lines)}`}>Download</a>
    <button type="button" @click=${() => acts.discard(name, entries)}>Dismiss</button>
  </div>`;
}

/** Refused answers, grouped by person and reason. @param {State['refused']} refused */
function alikeRefused(refused) {
  /** @type {Map<string, { keys: string[], why: string, reviewer: string }>} */
  const found = new Map();
  for (const { key, why, body } of refused) {
    const id = JSON.stringify([body['reviewer'], why]);
    found.set(id, { why, reviewer: body['reviewer'], keys: [...(found.get(id)?.keys ?? []), key] });
  }
  return [...found.values()];
}

/** @param {State} state */
const emptyView = (state) => html`<div class="card empty" id="empty">${whyEmpty(state)}</div>`;

/** @param {State} state */
function whyEmpty({ loaded, looking, trouble, filter }) {
  if (trouble !== '') return 'The queue is not available now. The page keeps trying.';
  if (!loaded || looking) return 'Loading …';
  return Object.values(filter).some((value) => value !== '')
    ? 'Nothing waits in this part of the queue.'
    : 'Nothing waits. New items appear here by themselves.';
}

/** @param {Task} task @param {State} state @param {Acts} acts */
function taskView(task, state, acts) {
  const label = nameOf({ module: task.nlu_module, intent: task.nlu_intent });
  return html`<article class="card task" data-id=${task.conversation_id}>
      <div class="row small quiet">
        <span class="badge">${task.language}</span>
        ${task.reasons.map((code) => html`<span class="badge ${task.route === 'priority-review' ? 'warn' : ''}">${reason(code)}</span>`)}
        <time datetime=${task.created_at}
          >${new Date(task.created_at).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' })}</time
        >
      </div>
      <blockquote
        class="message"
        id="message"
        lang=${task.language}
        dir="auto"
        tabindex="0"
        role="region"
        aria-label="Message"
      >
        <span class="words">${messageView(task, state.whole === task.conversation_id)}</span>
      </blockquote>
      ${
        task.user_message.length > MAX_SHOWN && state.whole !== task.conversation_id
          ? html`<p>
              <button type="button" id="whole" @click=${() => acts.showWhole(task)}>
                Show all ${task.user_message.length.toLocaleString()} characters
              </button>
            </p>`
          : nothing
      }
      ${groupView(task, state, acts)}
      <div class="prediction">
        <div>
          <div class="small quiet">
            ${task.model_version === null ? 'The model says' : `${task.model_version} says`}
          </div>
          <div class="label" id="prediction">${label}</div>
        </div>
        <div class="confidence">
          ${
            task.nlu_confidence === null
              ? html`<span class="quiet small"
                  >${task.route === null ? 'Confidence is hidden here, so that it does not influence your answer.' : 'The model gave no confidence.'}</span
                >`
              : html`<b>${percent(task.nlu_confidence)}</b>
                  <meter min="0" max="1" value=${task.nlu_confidence} aria-label="Confidence"></meter>`
          }
        </div>
      </div>
      ${
        choices(task).length === 0
          ? nothing
          : html`<ol class="choices" aria-label="Other labels">
              ${choices(task).map(
                (choice, i) =>
                  html`<li>
                    <button type="button" @click=${() => acts.choose(choice)}>
                      <kbd>${i + 1}</kbd> ${nameOf(choice)} <span class="quiet small">${choice.note}</span>
                    </button>
                  </li>`,
              )}
            </ol>`
      }
    </article>
    ${actionsView(state, acts)}`;
}

/** The message with its entities marked. It is rendered as text, never as HTML. @param {Task} task @param {boolean} whole */
function messageView({ user_message, entities }, whole) {
  const text = whole ? user_message : user_message.slice(0, MAX_SHOWN);
  const spans = entities
    .flatMap(({ name, start, end }) => (start === null || end === null ? [] : [{ name, start, end }]))
    .sort((a, b) => a.start - b.start);
  const parts = [];
  let at = 0;
  for (const { name, start, end } of spans) {
    if (start < at || end > text.length) continue;
    parts.push(text.slice(at, start), html`<mark title=${name}>${text.slice(start, end)}</mark>`);
    at = end;
  }
  return [...parts, text.slice(at)];
}

/** Messages that are answered with an item: those of its group and joined ones unless unticked, other similar ones if ticked.
 * @param {Task} task @param {State['ticks']} ticks */
export const goAlong = ({ group, similar }, ticks) => [
  ...group.filter(({ conversation_id: id }) => ticks.get(id) ?? true),
  ...similar.filter(({ conversation_id: id, joined }) => ticks.get(id) ?? joined),
];

/** Messages grouped by identical text. @param {Alike[]} messages @returns {Alike[][]} */
function byText(messages) {
  const texts = new Map();
  for (const one of messages) texts.set(one.user_message, [...(texts.get(one.user_message) ?? []), one]);
  return [...texts.values()];
}

/** @param {Task} task @param {State} state @param {Acts} acts */
function groupView(task, { asGroup, ticks }, acts) {
  const { group, similar } = task;
  if (group.length + similar.length === 0) return nothing;
  const along = goAlong(task, ticks);
  const list = (/** @type {Alike[]} */ messages, /** @type {string} */ title) =>
    messages.length === 0
      ? nothing
      : html`<fieldset ?disabled=${!asGroup}>
          <legend>${title}</legend>
          ${byText(messages).map(
            (some) =>
              html`<label class="check"
                ><input
                  type="checkbox"
                  .checked=${some.some((one) => along.includes(one))}
                  @change=${(/** @type {any} */ e) => acts.tick(some, e.target.checked)}
                />
                <span dir="auto" lang=${some[0]?.language}>${some[0]?.user_message.slice(0, 200)}</span>
                ${some.length > 1 ? html`<span class="quiet small">${some.length} ×</span>` : nothing}</label
              >`,
          )}
        </fieldset>`;
  return html`<div class="group">
    ${list(group, `${String(group.length)} more that ${group.length === 1 ? 'says' : 'say'} nearly the same`)}
    ${list(similar, 'Similar: tick what means the same')}
    <div class="row">
      ${
        along.length === 0 && asGroup
          ? nothing
          : html`<label class="check"
              ><input type="checkbox" id="as-group" .checked=${asGroup} @change=${acts.toggleGroup} /> Answer
              ${along.length === 0 ? 'together' : `${String(along.length + 1)} at once`} <kbd>g</kbd></label
            >`
      }
      ${similar.length > 0 ? html`<button type="button" id="tick-similar" ?disabled=${!asGroup} @click=${acts.tickSimilar}>Similar ones too <kbd>m</kbd></button>` : nothing}
    </div>
  </div>`;
}

/** @param {State} state @param {Acts} acts */
const actionsView = ({ undo }, acts) =>
  html`<div class="actions" role="group" aria-label="Answer">
    <button type="button" class="main" id="approve" @click=${acts.approve}>Approve <kbd>a</kbd></button>
    <button type="button" id="correct" @click=${acts.correct}>Correct … <kbd>c</kbd></button>
    <button type="button" id="reject" @click=${acts.reject}>Reject <kbd>r</kbd></button>
    <button type="button" id="skip" @click=${acts.skip}>Skip <kbd>s</kbd></button>
    <button type="button" id="undo" ?disabled=${undo === ''} @click=${acts.undo}>Undo <kbd>u</kbd></button>
  </div>`;

/** @param {State} state @param {Acts} acts */
const sideView = ({ items, reviewer, tokens, keys, undo, unsent }, acts) =>
  html`<aside class="side" aria-label="Next items and status">
    <div class="card">
      <h2>Next</h2>
      ${
        items.length < 2
          ? html`<p class="quiet small">Nothing yet.</p>`
          : html`<ul class="next">
              ${items.slice(1).map(
                (task) =>
                  html`<li>
                    <button type="button" @click=${() => acts.show(task)}>
                      <span dir="auto" lang=${task.language} class="snippet">${task.user_message.slice(0, 120)}</span>
                      <span class="quiet small"
                        >${nameOf({ module: task.nlu_module, intent: task.nlu_intent })}${task.group.length > 0 ? ` · ${String(task.group.length + 1)} alike` : ''}</span
                      >
                    </button>
                  </li>`,
              )}
            </ul>`
      }
    </div>
    <div class="card small">
      <p id="last">${undo === '' ? 'Your last answer appears here.' : `Last: ${undo}`}</p>
      <p class="quiet">
        ${unsent === 0 ? 'Everything is saved.' : unsent === 1 ? '1 answer on its way.' : `${String(unsent)} answers on their way.`}
      </p>
      <p>
        ${reviewer}
        <button type="button" class="link" @click=${tokens ? acts.signOut : acts.rename}>
          ${tokens ? 'Sign out' : 'Not you?'}
        </button>
      </p>
      <label class="check"
        ><input type="checkbox" .checked=${keys} @change=${acts.toggleKeys} /> Single-key shortcuts</label
      >
    </div>
  </aside>`;
