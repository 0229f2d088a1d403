// @ts-check
/** A searchable list of labels in a dialog: an ARIA combobox with a list box. */
import { html, render } from '/assets/lit-html/lit-html.js';

/**
 * @typedef {{ module: string, intent: string }} Label
 * @typedef {Label & { conversations: number }} KnownLabel
 * @typedef {Label & { isNew?: boolean, note?: string }} Option
 */

const MAX_SHOWN = 60;
const NAME = /^[\p{L}\p{N}][\p{L}\p{M}\p{N} _.:-]{0,99}$/u;

/** @param {Label} label */
export const nameOf = ({ module, intent }) => `${module} / ${intent}`;

/** @param {string} text */
const words = (text) =>
  text
    .toLowerCase()
    .split(/[\s_/.:-]+/)
    .filter((word) => word !== '');

/**
 * Labels that contain every word of the query. Labels with words that start with a query word come first, then those of `module`.
 * @param {readonly KnownLabel[]} labels @param {string} query @param {string} module
 * @returns {Option[]}
 */
export function search(labels, query, module) {
  const wanted = words(query);
  const score = (/** @type {KnownLabel} */ label) => {
    const has = [...words(label.module), ...words(label.intent)];
    if (!wanted.every((word) => has.some((one) => one.includes(word)))) return -1;
    const begins = wanted.filter((word) => has.some((one) => one.startsWith(word))).length;
    return begins * 2 + (label.module === module ? 1 : 0);
  };
  const found = labels
    .map((label) => ({ label, at: score(label) }))
    .filter(({ at }) => at >= 0)
    .sort((a, b) => b.at - a.at)
    .map(({ label }) => ({ ...label, note: label.conversations.toLocaleString() }));
  return [...found.slice(0, MAX_SHOWN), ...newLabel(labels, query, module)];
}

/** @param {readonly KnownLabel[]} labels @param {string} query @param {string} module @returns {Option[]} */
function newLabel(labels, query, module) {
  const [first = '', second] = query.split('/').map((part) => part.trim());
  const label =
    second === undefined ? { module, intent: first.replace(/\s+/g, '_') } : { module: first, intent: second };
  const known = labels.some((one) => one.module === label.module && one.intent === label.intent);
  return !known && NAME.test(label.module) && NAME.test(label.intent)
    ? [{ ...label, isNew: true, note: 'new label' }]
    : [];
}

/**
 * Opens the dialog. Returns the chosen label, or undefined. Until the labels have loaded, Enter takes effect only when they
 * have: otherwise the typed text would count as a new label.
 * @param {readonly KnownLabel[] | undefined} known @param {Promise<readonly KnownLabel[]>} coming @param {Label} predicted
 * @returns {Promise<Option | undefined>}
 */
export function pickLabel(known, coming, predicted) {
  let labels = known;
  let entered = false;
  const dialog = document.createElement('dialog');
  dialog.className = 'picker';
  dialog.setAttribute('aria-label', 'Choose the right label');
  document.body.append(dialog);
  let [query, active] = ['', 0];
  /** @type {Option | undefined} */
  let chosen;
  const options = () => (labels ? search(labels, query, predicted.module) : []);
  const status = (/** @type {number} */ n) =>
    !labels
      ? 'Loading the labels …'
      : n === 0
        ? 'No label contains these words.'
        : `${String(n)} labels. Enter chooses, Esc closes.`;

  function draw() {
    const shown = options();
    active = Math.max(0, Math.min(active, shown.length - 1));
    render(
      html`<label for="picker-query">The right label</label>
        <input
          id="picker-query"
          role="combobox"
          autocomplete="off"
          spellcheck="false"
          aria-expanded="true"
          aria-controls="picker-list"
          aria-activedescendant=${shown.length > 0 ? `picker-${String(active)}` : ''}
          placeholder="Search, or module / new intent"
          @input=${onInput}
          @keydown=${onKey}
        />
        <ul id="picker-list" role="listbox" aria-label="Labels">
          ${shown.map(
            (option, i) =>
              html`<li
                id="picker-${i}"
                role="option"
                aria-selected=${i === active ? 'true' : 'false'}
                @click=${() => choose(option)}
              >
                <span>${nameOf(option)}</span><span class="quiet small">${option.note}</span>
              </li>`,
          )}
        </ul>
        <p class="quiet small" role="status">${status(shown.length)}</p>`,
      dialog,
    );
    dialog.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest' });
  }

  /** @param {Event} event */
  function onInput({ target }) {
    [query, active, entered] = [/** @type {HTMLInputElement} */ (target).value, 0, false];
    draw();
  }

  /** @param {KeyboardEvent} event */
  function onKey(event) {
    if (event.isComposing || event.keyCode === 229) return; // the key belongs to an input method; Safari signals that only by 229
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step !== undefined) {
      active += step;
      draw();
    } else if (event.key === 'Enter') {
      if (labels) choose(options()[active]);
      else entered = true;
    } else return;
    event.preventDefault();
  }

  /** @param {Option | undefined} option */
  function choose(option) {
    if (!option) return;
    chosen = option;
    dialog.close();
  }

  draw();
  dialog.showModal();
  void coming.then((found) => {
    if (labels) return; // the displayed list must not change while the person chooses
    labels = found;
    draw();
    if (entered) choose(options()[active]);
  });
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(chosen);
    });
  });
}
