// @ts-check
/** Requests to the API, and the display of errors, for every page. */
import { html, render } from '/assets/lit-html/lit-html.js';

/**
 * An error response. `type` is empty if the response did not come from this server.
 * @typedef {{ type: string, title: string, status: number, detail: string,
 *   problems?: { line?: number, field: string, message: string }[] }} Problem
 */

/** Thrown for an error response; the message is the server's sentence. */
export class Refused extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

/**
 * A browser opens at most six connections to a server, and hanging requests would occupy all of them. The server gives
 * up earlier than this.
 */
const PATIENCE_MS = 30_000;

/**
 * Sends a request to the API and returns the JSON of the response. A `repeatable` request, such as any GET, is aborted after half a
 * minute. Others are not aborted, because it would be unknown whether they took effect.
 * @template [T=any]
 * @param {string} url
 * @param {{ method?: string, body?: unknown, repeatable?: boolean }} [options]
 * @returns {Promise<T>}
 */
export async function ask(url, { method = 'GET', body, repeatable = method === 'GET' } = {}) {
  const response = await fetch(url, {
    method,
    ...(repeatable && { signal: AbortSignal.timeout(PATIENCE_MS) }),
    ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  }).catch(() => {
    throw new Refused({ type: '', title: '', status: 0, detail: 'The server does not answer.' });
  });
  const answer = response.status === 204 ? undefined : await response.json().catch(() => null);
  if (response.status === 401 && location.pathname !== '/sign-in') goToSignIn();
  if (!response.ok || answer === null) throw new Refused(problemOf(response, answer));
  return answer;
}

/** Matches `type` in problem details of this server. */
const OWN = /^(about:blank$|urn:samvad:)/;

/**
 * The problem of an error response. A proxy in front of the server may answer in another format.
 * @param {Response} response @param {any} answer @returns {Problem}
 */
function problemOf({ status, statusText }, answer) {
  if (typeof answer?.detail === 'string') return { ...answer, type: OWN.test(answer.type) ? answer.type : '', status };
  const detail = `The answer was ${`${status} ${statusText}`.trim()}, without a readable reason.`;
  return { type: '', title: statusText, status, detail };
}

/** The sentence about an error. @param {unknown} error */
export const reasonOf = (error) => (error instanceof Error ? error.message : String(error));

/** @type {Promise<{ needed: boolean, name: string | null, roles: string[] }> | undefined} */
let asked;

/** The session; requested once per page, and again after a failure. */
export const session = () =>
  (asked ??= ask('/v1/session').catch((error) => {
    asked = undefined;
    throw error;
  }));

/** Ends the session of this browser and goes to the sign-in page. */
export async function signOut() {
  await ask('/v1/session', { method: 'DELETE' });
  goToSignIn();
}

/** Goes to the sign-in page, which returns here. */
function goToSignIn() {
  location.assign(`/sign-in?to=${encodeURIComponent(location.pathname + location.search)}`);
}

/** The element that a page fills. */
export const page = /** @type {HTMLElement} */ (document.getElementById('page'));

let loading = true;

/**
 * Shows a template as the page's content.
 * @param {unknown} content
 */
export function show(content) {
  if (loading) page.replaceChildren();
  loading = false;
  render(content, page);
}

/**
 * Shows what went wrong where the page's content would be.
 * @param {unknown} error
 */
export function showError(error) {
  show(html`<p class="notice bad" role="alert">${reasonOf(error)}</p>`);
}
