// @ts-check
import { html } from '/assets/lit-html/lit-html.js';
import { ask, reasonOf, session, show, showError } from './api.js';

/**
 * The page of this server to return to; `/` if the address names another server. Returns the complete URL that was checked, because
 * a path alone, such as that of `/.//elsewhere`, would be parsed again and could lead to another host.
 */
function destination() {
  const to = new URL(new URLSearchParams(location.search).get('to') ?? '/', location.origin);
  return to.href.startsWith(`${location.origin}/`) && to.pathname !== '/sign-in' ? to.href : '/';
}

/** @param {SubmitEvent & { currentTarget: HTMLFormElement }} event */
async function signIn(event) {
  event.preventDefault();
  const token = new FormData(event.currentTarget).get('token');
  try {
    await ask('/v1/session', { method: 'POST', body: { token } });
    location.reload(); // the reloaded page redirects, because the person is now signed in
  } catch (error) {
    show(view(reasonOf(error)));
  }
}

/** @param {string} [problem] */
const view = (problem) => html`
  <form class="card sign-in" @submit=${signIn}>
    <p>This server requires a token. Its operator makes one with <code>samvad token new NAME ROLES</code>.</p>
    <label for="token">Token</label>
    <input id="token" name="token" type="password" autocomplete="current-password" required autofocus />
    ${problem === undefined ? '' : html`<p class="notice bad" role="alert">${problem}</p>`}
    <p><button class="main">Sign in</button></p>
    <p class="quiet small">It is kept in a cookie that no script can read, for 30 days or until you sign out.</p>
  </form>
`;

/** Every role except `ingest` includes the right to read. @param {string[]} roles */
const opensPages = (roles) => roles.some((role) => role !== 'ingest');

session().then(({ needed, name, roles }) => {
  if (!needed || opensPages(roles)) location.replace(destination());
  else if (name === null) show(view());
  else show(view(`The token ${name} is for sending data only, and opens no page. Sign in with another, or sign out.`));
}, showError);
