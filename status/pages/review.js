// @ts-check
/** The review page: one item after the other, answered by keyboard or by hand, and an outbox that loses nothing. */
import { render } from '/assets/lit-html/lit-html.js';
import { ask, page, Refused, session as signedIn } from './api.js';
import { nameOf, pickLabel } from './label-picker.js';
import { openOutbox } from './outbox.js';
import { choices, pageView, signView } from './review-view.js';

/**
 * @typedef {import('./review-view.js').Task} Task
 * @typedef {import('./label-picker.js').Option} Option
 * @typedef {{ task: Task, said: string, reviews: { review_id: string, conversation_id: string }[] }} Done
 */

const HELD = 6;
const RENEW_MS = 60_000;
const LOOK_AGAIN_MS = 5000;
const MAX_UNDO = 50;

/** @type {import('./review-view.js').State} */
const state = {
  ...{ reviewer: remember('samvad.reviewer') ?? '', items: [], asGroup: true, keys: remember('samvad.keys') !== 'off' },
  ...{ loaded: false, trouble: '', news: '', whole: '', filter: filterOfAddress() },
  ...{ waiting: 0, modules: [], languages: [], routes: [], progress: { mine: 0, everyone: 0, median_ms: null } },
  ...{ unsent: 0, refused: [], undo: '' },
};
/** @type {Done[]} */
const done = [];
/** Items whose answers were taken back here; the queue needs a moment to have them again. @type {Map<string, Task>} */
const restored = new Map();
/** Answered here, so never shown again until taken back. @type {Set<string>} */
const answered = new Set();
let shownAt = performance.now();
let shownId = '';
let asking = false;
/** @type {import('./label-picker.js').KnownLabel[] | undefined} */
let labels;

/** One open tab; a reload goes on with the same items. */
const session = tabSession();
const outbox = openOutbox(({ sent }) => {
  if (sent) {
    void load();
    // What was taken back comes into the queue one by one; a second look has all of a group.
    setTimeout(() => void load(), LOOK_AGAIN_MS);
  }
  draw();
});

/** The filter stands in the address, so that it can be kept as a bookmark. */
function filterOfAddress() {
  const query = new URLSearchParams(location.search);
  const of = (/** @type {string} */ name) => query.get(name) ?? '';
  return { module: of('module'), language: of('language'), route: of('route') };
}

/** @param {string} key @param {string} [value] @returns {string | null} */
function remember(key, value) {
  try {
    if (value !== undefined) localStorage.setItem(key, value);
    return localStorage.getItem(key);
  } catch {
    return value ?? null;
  }
}

function tabSession() {
  try {
    const id = sessionStorage.getItem('samvad.session') ?? newId();
    sessionStorage.setItem('samvad.session', id);
    return id;
  } catch {
    return newId();
  }
}

/** `crypto.randomUUID` is there on secure origins only. */
function newId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

function draw() {
  state.unsent = outbox.waiting();
  state.refused = outbox.refused();
  const last = done.at(-1);
  state.undo = last ? last.said : '';
  render(state.reviewer === '' ? signView(acts) : pageView(state, acts), page);
  const id = state.items[0]?.conversation_id ?? '';
  if (id !== shownId) {
    [shownId, shownAt] = [id, performance.now()];
    document.getElementById('message')?.scrollTo(0, 0);
  }
}

/** Asks for the next items, which also renews those that are held. */
async function load() {
  if (asking || state.reviewer === '') return;
  asking = true;
  const midnight = new Date();
  midnight.setHours(0, 0, 0, 0);
  const chosen = Object.fromEntries(Object.entries(state.filter).filter(([, value]) => value !== ''));
  try {
    const body = { reviewer: state.reviewer, session, count: HELD, since: midnight.toISOString(), ...chosen };
    const answer = await ask('/v1/review-queue/next', { method: 'POST', body });
    take(answer);
    state.trouble = '';
  } catch (error) {
    state.trouble = error instanceof Refused ? error.message : 'The server does not answer.';
  }
  asking = false;
  state.loaded = true;
  draw();
}

/** @param {any} answer */
function take({ items, waiting, modules, languages, routes, progress }) {
  const unsent = outbox.waitingIds();
  const fresh = /** @type {Task[]} */ (items).filter(
    ({ conversation_id: id }) => !answered.has(id) && !unsent.has(id) && !restored.has(id),
  );
  const current = state.items[0];
  const kept = current && fresh.find(({ conversation_id: id }) => id === current.conversation_id);
  if (current && !kept && !restored.has(current.conversation_id) && !answered.has(current.conversation_id))
    state.news = 'Somebody else has answered that one, or its time ran out; here is the next.';
  state.items = [...restored.values(), ...(kept ? [kept] : []), ...fresh.filter((task) => task !== kept)];
  Object.assign(state, { waiting, modules, languages, routes, progress });
}

/**
 * Answers the item, and its near-duplicates where they go along.
 * @param {'approve' | 'correct' | 'reject' | 'skip'} verdict @param {Option} [label]
 */
function answer(verdict, label) {
  const task = state.items[0];
  if (!task) return;
  const members = [task, ...(state.asGroup ? task.group : [])];
  const reviewed_at = new Date().toISOString();
  const taken = Math.round((performance.now() - shownAt) / members.length);
  const shown = {
    ...{ intent: task.nlu_intent, module: task.nlu_module },
    ...{ confidence: task.nlu_confidence, model_version: task.model_version },
  };
  const answers = members.map(({ conversation_id }) => ({
    ...{ review_id: newId(), conversation_id, verdict, reviewed_at, shown, time_taken_ms: Math.min(taken, 3_600_000) },
    ...(label && { corrected_module: label.module, corrected_intent: label.intent }),
  }));
  for (const { conversation_id } of members) {
    answered.add(conversation_id);
    restored.delete(conversation_id);
  }
  // An undo has hidden them behind their item; now they come by themselves.
  if (!state.asGroup) for (const { conversation_id } of task.group) answered.delete(conversation_id);
  state.items = state.items.slice(1);
  state.progress = {
    ...state.progress,
    mine: state.progress.mine + members.length,
    everyone: state.progress.everyone + members.length,
  };
  state.waiting = Math.max(0, state.waiting - members.length);
  const verb = { approve: 'approved', correct: 'corrected to', reject: 'rejected', skip: 'skipped' }[verdict];
  const what = label ? nameOf(label) : nameOf({ module: task.nlu_module, intent: task.nlu_intent });
  const said = `${verb} ${what}${members.length > 1 ? `, ${String(members.length)} at once` : ''}`;
  done.push({ task, said, reviews: answers.map(({ review_id, conversation_id }) => ({ review_id, conversation_id })) });
  if (done.length > MAX_UNDO) done.shift();
  tell(said);
  outbox.add({ reviewer: state.reviewer, session, answers, ...(label?.isNew && { new_label: true }) });
  draw();
}

function undo() {
  const last = done.pop();
  if (!last) return;
  const reviewed_at = new Date().toISOString();
  const answers = last.reviews.map(({ review_id, conversation_id }) => ({
    ...{ review_id: newId(), conversation_id, verdict: 'skip', withdraws: review_id, reviewed_at },
  }));
  const ids = new Set(last.reviews.map(({ conversation_id }) => conversation_id));
  // Those that were answered with it come back with it; the rest have gone their own way.
  const task = { ...last.task, group: last.task.group.filter(({ conversation_id }) => ids.has(conversation_id)) };
  answered.delete(task.conversation_id);
  restored.set(task.conversation_id, task);
  state.items = [task, ...state.items.filter(({ conversation_id }) => conversation_id !== task.conversation_id)];
  state.progress = {
    ...state.progress,
    mine: Math.max(0, state.progress.mine - answers.length),
    everyone: Math.max(0, state.progress.everyone - answers.length),
  };
  state.waiting += answers.length;
  tell(`Taken back: ${last.said}`);
  outbox.add({ reviewer: state.reviewer, session, answers });
  draw();
}

/** @param {string} said */
function tell(said) {
  const next = state.items[0];
  state.news = `${said}. ${next ? `Next: ${next.user_message.slice(0, 200)}` : 'Nothing else waits.'}`;
}

/** The labels, kept for the next time; none where they can't be had, and then every label is a new one. */
async function loadLabels() {
  labels = await ask('/v1/labels').catch(() => labels);
  return labels ?? [];
}

async function correct() {
  const task = state.items[0];
  if (!task) return;
  const label = await pickLabel(labels, loadLabels(), { module: task.nlu_module, intent: task.nlu_intent });
  // The items are asked for anew while the list is open, so the same one may be another object by now.
  if (!label || state.items[0]?.conversation_id !== task.conversation_id) return;
  if (label.module === task.nlu_module && label.intent === task.nlu_intent) answer('approve');
  else answer('correct', label);
}

/** @type {import('./review-view.js').Acts} */
const acts = {
  approve: () => answer('approve'),
  choose: (label) => answer('correct', label),
  correct: () => void correct(),
  reject: () => answer('reject'),
  skip: () => answer('skip'),
  undo,
  toggleGroup() {
    state.asGroup = !state.asGroup;
    draw();
  },
  toggleKeys() {
    state.keys = !state.keys;
    remember('samvad.keys', state.keys ? 'on' : 'off');
    draw();
  },
  rename() {
    release();
    state.items = [];
    state.reviewer = '';
    draw();
  },
  show(task) {
    state.items = [task, ...state.items.filter((one) => one !== task)];
    draw();
  },
  showWhole(task) {
    state.whole = task.conversation_id;
    draw();
  },
  forget: (key) => outbox.forget(key),
  filter(name, value) {
    state.filter = { ...state.filter, [name]: value };
    const chosen = Object.entries(state.filter).filter(([, one]) => one !== '');
    history.replaceState(null, '', `?${String(new URLSearchParams(chosen))}`);
    void load();
  },
  sign(event) {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    state.reviewer = String(new FormData(form).get('reviewer') ?? '').trim();
    remember('samvad.reviewer', state.reviewer);
    draw();
    void load();
  },
};

/** @type {Record<string, () => void>} */
const KEYS = { a: acts.approve, c: acts.correct, r: acts.reject, s: acts.skip, u: acts.undo, g: acts.toggleGroup };

/** @param {KeyboardEvent} event */
function onKey(event) {
  const { key, target, ctrlKey, metaKey, altKey, repeat } = event;
  const typing = target instanceof Element && target.closest('input:not([type=checkbox]), select, textarea, dialog');
  if (!state.keys || ctrlKey || metaKey || altKey || repeat || typing || state.reviewer === '') return;
  const task = state.items[0];
  const choice = task && /^[1-9]$/.test(key) ? choices(task)[Number(key) - 1] : undefined;
  const act = choice ? () => acts.choose(choice) : KEYS[key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act();
}

function release() {
  const body = new Blob([JSON.stringify({ reviewer: state.reviewer, session })], { type: 'application/json' });
  if (state.reviewer !== '') navigator.sendBeacon('/v1/review-queue/release', body);
}

addEventListener('keydown', onKey);
addEventListener('pagehide', release);
addEventListener('pageshow', ({ persisted }) => void (persisted && load()));
setInterval(() => void load(), RENEW_MS);
setInterval(() => void ((state.items.length === 0 || state.trouble !== '') && load()), LOOK_AGAIN_MS);

/** Begins with the name of last time; that of a token, by which the server goes in any case, comes a moment later. */
async function open() {
  const known = state.reviewer !== '';
  if (known) draw();
  const first = load();
  const name = (await signedIn().catch(() => undefined))?.name ?? '';
  if (name !== '') {
    state.reviewer = name;
    remember('samvad.reviewer', name);
  }
  draw();
  await (known ? first : load());
  await loadLabels();
}

page.replaceChildren();
void outbox.flush();
void open();
