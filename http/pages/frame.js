// @ts-check
/** The frame of every page: the session and the sign-out button. */
import { html, render } from '/assets/lit-html/lit-html.js';
import { session, signOut } from './api.js';

const place = document.getElementById('who');

/** @param {string} name @param {string} trouble why signing out failed */
const view = (name, trouble) =>
  html`<span class="quiet small">${name}</span>
    <button type="button" class="small" @click=${() => signOut().catch(({ message }) => draw(name, message))}>
      Sign out
    </button>
    ${trouble === '' ? '' : html`<span class="small" role="alert">${trouble}</span>`}`;

/** @param {string | null} name @param {string} [trouble] */
function draw(name, trouble = '') {
  if (place && name !== null) render(view(name, trouble), place);
}

// Reloads a page from the back/forward cache, so that nobody sees what the previous person read before signing out. The inbox
// reloads its items itself, and may hold answers.
addEventListener('pageshow', ({ persisted }) => {
  if (persisted && location.pathname !== '/review') location.reload();
});

session().then(
  ({ name }) => draw(name),
  () => undefined,
);
