// @ts-check
/** Work that a person starts with a button, and what came of it. */
import { html } from '/assets/lit-html/lit-html.js';
import { reasonOf, Refused } from './api.js';

/** The part of a page's state that `working` keeps. */
export const idle = { busy: false, said: '', bad: false, problems: [] };

/**
 * Returns a function that does work: `state` is busy meanwhile, and afterwards has the work's sentence or why it failed.
 * @param {any} state @param {() => void} update @param {string} typed What the person typed as JSON.
 */
export const working = (state, update, typed) => async (/** @type {() => Promise<string>} */ work) => {
  Object.assign(state, idle, { busy: true });
  update();
  try {
    state.said = await work();
  } catch (error) {
    Object.assign(state, {
      said: error instanceof SyntaxError ? `The ${typed} is not JSON: ${error.message}` : reasonOf(error),
      problems: error instanceof Refused ? (error.problem.problems ?? []) : [],
      bad: true,
    });
  }
  state.busy = false;
  update();
};

/** What came of the work. @param {any} state */
export const told = ({ said, bad, problems }) =>
  said === ''
    ? ''
    : html`<div class="notice ${bad ? 'bad' : ''}" role="status">
        <p>${said}</p>
        ${
          problems.length === 0
            ? ''
            : html`<ul>
                ${problems.map((/** @type {any} */ one) => html`<li><strong>${one.field}</strong> ${one.message}</li>`)}
              </ul>`
        }
      </div>`;
