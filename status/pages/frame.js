// @ts-check
/** What every page has around it: who is signed in, and the way out. */
import { html, render } from '/assets/lit-html/lit-html.js';
import { ask, goToSignIn, session } from './api.js';

const place = document.getElementById('who');

async function signOut() {
  await ask('/v1/session', { method: 'DELETE' });
  goToSignIn();
}

/** @param {{ name: string | null }} session */
const view = ({ name }) =>
  name === null
    ? ''
    : html`<span class="quiet small">${name}</span>
        <button type="button" class="small" @click=${signOut}>Sign out</button>`;

if (place)
  session().then(
    (who) => render(view(who), place),
    () => undefined,
  );
