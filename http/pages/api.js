// @ts-check
/** Requests to the API, and the display of errors, for every page. */
import { html, render } from '/assets/lit-html/lit-html.js';

/**
 * An answer that is not a success; its type is empty where it is not this server's own.
 * @typedef {{ type: string, title: string, status: number, detail: string,
 *   problems?: { line?: number, field: string, message: string }[] }} Problem
 */

/** An error response; the message is the server's sentence. */
export class Refused extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

/**
 * A browser has six connections to a server, which hanging requests would use up. The server itself has given up by
 * then.
 */
const PATIENCE_MS = 30_000;

/**
 * Asks the API and gives the answer's JSON. What is `repeatable`, as all that reads, is given up after half a minute; all else is not,
 * as nobody would know whether it was done.
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

/** The form of `type` in problem details of this server. */
const OWN = /^(about:blank$|urn:samvad:)/;

/** What stands before the server, a proxy say, refuses in words of its own. @param {Response} response @param {any} answer @returns {Problem} */
function problemOf({ status, statusText }, answer) {
  if (typeof answer?.detail === 'string') return { ...answer, type: OWN.test(answer.type) ? answer.type : '', status };
  const detail = `The answer was ${`${status} ${statusText}`.trim()}, without a reason that could be shown here.`;
  return { type: '', title: statusText, status, detail };
}

/**
 * What to tell of an error that work with JSON typed into a page has met.
 * @param {string} typed what the JSON stands for
 * @param {unknown} error
 */
export function complaint(typed, error) {
  if (error instanceof SyntaxError) return `The ${typed} is not JSON: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}

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

/**
 * Shows a template as the page's content.
 * @param {unknown} content
 */
export function show(content) {
  if (page.firstElementChild?.matches('.quiet') && !page.dataset['shown']) page.replaceChildren();
  page.dataset['shown'] = 'yes';
  render(content, page);
}

/**
 * Shows what went wrong where the page's content would be.
 * @param {unknown} error
 */
export function showError(error) {
  show(html`<p class="notice bad" role="alert">${error instanceof Error ? error.message : String(error)}</p>`);
}
