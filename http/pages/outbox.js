// @ts-check
/**
 * Answers that the server has not accepted yet, stored in the browser, so that a restart, a network failure or a reload
 * loses nothing. Each answer has an id, so that sending it twice counts once. Answers that the server refuses from the
 * signed-in person wait until the person who gave them signs in.
 */
import { ask, Refused } from './api.js';

/**
 * @typedef {{ key: string, body: Record<string, any> }} Entry
 * @typedef {Entry & { why: string }} RefusedEntry
 */

const WAITING = 'samvad.outbox.';
const REFUSED = 'samvad.refused.';
const RETRY_MS = 1000;
const MAX_RETRY_MS = 15_000;

/** Keeps answers as long as the page is open, if localStorage is disabled or full. */
const memory = new Map();
const store = {
  /** @param {string} key @param {object} value */
  set(key, value) {
    memory.set(key, value);
    try {
      localStorage.setItem(key, JSON.stringify(value));
    } catch {
      // full or not allowed: only the copy in memory exists
    }
  },
  /** @param {string} key */
  remove(key) {
    memory.delete(key);
    try {
      localStorage.removeItem(key);
    } catch {
      // not allowed: nothing is stored there
    }
  },
  /** @param {string} prefix @returns {[string, any][]} oldest first */
  list(prefix) {
    const found = new Map([...memory].filter(([key]) => key.startsWith(prefix)));
    try {
      for (const [key, text] of Object.entries(localStorage))
        if (key.startsWith(prefix) && !found.has(key)) found.set(key, JSON.parse(text));
    } catch {
      // not allowed, or an entry is not JSON
    }
    return [...found].sort(([a], [b]) => (a < b ? -1 : 1));
  },
  /** Whether the entry survives a reload. @param {string} key */
  keeps(key) {
    try {
      return localStorage.getItem(key) !== null;
    } catch {
      return false;
    }
  },
};

let count = 0;
/** Keys sort by the time of writing. */
const newKey = () => `${WAITING}${String(Date.now()).padStart(15, '0')}.${String(count++).padStart(6, '0')}`;

/**
 * Opens the outbox, including the answers that an earlier page left in it. `changed` is called after each attempt to send. `held`
 * is true if the server refused answers only because another person is signed in; `refused` are the answers that it refused for
 * any other reason.
 * @param {(news: { sent: boolean, held: boolean, refused: any[] }) => void} changed
 */
export function openOutbox(changed) {
  let [busy, delay] = [false, RETRY_MS];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let offline = false;
  /** Keys of entries that wait for another person to sign in; the page reloads then. @type {Set<string>} */
  const heldBack = new Set();
  const outgoing = () => store.list(WAITING).filter(([key]) => !heldBack.has(key));

  async function flush() {
    if (busy) return;
    busy = true;
    clearTimeout(timer);
    offline = false;
    let [sent, held] = [false, false];
    /** @type {any[]} */
    const refused = [];
    for (let [next] = outgoing(); next; [next] = outgoing()) {
      const [key, body] = next;
      try {
        await ask('/v1/review-queue/answers', { method: 'POST', body, repeatable: true });
        sent = true;
      } catch (error) {
        const { status, type } = error instanceof Refused ? error.problem : { status: 0, type: '' };
        // While the server restarts, a proxy may refuse requests; only a refusal by the server itself counts.
        if (type === '' || status === 401 || status === 429 || status >= 500) {
          offline = true;
          break;
        }
        if (status === 403 || status === 409) {
          heldBack.add(key);
          held = true;
          continue;
        }
        if (body.answers.length > 1) {
          split(key, body);
          continue;
        }
        refused.push(...body.answers);
        const problems = error instanceof Refused ? (error.problem.problems ?? []) : [];
        const why = [error instanceof Error ? error.message : '', ...problems.map(({ message }) => message)].join(' ');
        store.set(REFUSED + key.slice(WAITING.length), { body, why });
      }
      store.remove(key);
      delay = RETRY_MS;
    }
    busy = false;
    if (offline) {
      timer = setTimeout(flush, delay);
      delay = Math.min(delay * 2, MAX_RETRY_MS);
    }
    changed({ sent, held, refused });
  }

  /**
   * A request is accepted completely or not at all, so a refused one is replaced by one request per answer.
   * @param {string} key @param {any} body
   */
  function split(key, body) {
    for (const [i, one] of body.answers.entries())
      store.set(`${key}.${String(i).padStart(3, '0')}`, { ...body, answers: [one] });
    store.remove(key);
  }

  addEventListener('online', () => void flush());
  return {
    flush,
    /** @param {Record<string, any>} body what `POST /v1/review-queue/answers` takes */
    add(body) {
      store.set(newKey(), body);
      void flush();
    },
    /** The number of answers that the server has not accepted yet. */
    waiting: () => outgoing().reduce((sum, [, body]) => sum + body.answers.length, 0),
    /** Whether closing the page would lose answers. */
    endsWithPage: () => store.list(WAITING).some(([key]) => !store.keeps(key)),
    /** Ids of conversations whose answers the server has not accepted yet. @returns {Set<string>} */
    waitingIds: () =>
      new Set(outgoing().flatMap(([, body]) => body.answers.map((/** @type {any} */ a) => a.conversation_id))),
    /** Entries that wait for another person to sign in, by that person. @returns {Map<string, Entry[]>} */
    ofOthers() {
      const entries = new Map();
      for (const [key, body] of store.list(WAITING))
        if (heldBack.has(key)) entries.set(body.reviewer, [...(entries.get(body.reviewer) ?? []), { key, body }]);
      return entries;
    },
    offline: () => offline,
    /** @returns {RefusedEntry[]} */
    refused: () => store.list(REFUSED).map(([key, value]) => ({ key, ...value })),
    /** @param {string[]} keys */
    forget(keys) {
      for (const key of keys) store.remove(key);
      changed({ sent: false, held: false, refused: [] });
    },
  };
}
