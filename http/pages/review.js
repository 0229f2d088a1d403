// @ts-check
/** The review page: shows one item at a time, takes answers by keyboard or mouse, and sends them through the outbox. */
import { render } from '/assets/lit-html/lit-html.js';
import { ask, page, Refused, session as signedIn, signOut } from './api.js';
import { nameOf, pickLabel } from './label-picker.js';
import { openOutbox } from './outbox.js';
import { choices, goAlong, pageView, signView } from './review-view.js';

/**
 * @typedef {import('./review-view.js').Task} Task
 * @typedef {import('./review-view.js').Alike} Alike
 * @typedef {import('./label-picker.js').Option} Option
 * @typedef {{ task: Task, said: string, reviews: { review_id: string, conversation_id: string }[] }} Done
 */

const HELD = 6;
const RENEW_MS = 60_000;
const LOOK_AGAIN_MS = 5000;
/** How long the server reserves an undone item for this page until it is back in the queue (`GRACE_SECONDS` of review/leases.ts). */
const GRACE_MS = 20_000;
const MAX_UNDO = 50;
/** The most answers per request. */
const MAX_ANSWERS = 200;

/** @type {import('./review-view.js').State} */
const state = {
  ...{
    reviewer: remember('samvad.reviewer') ?? '',
    items: [],
    asGroup: true,
    ticks: new Map(),
    keys: remember('samvad.keys') !== 'off',
  },
  ...{ loaded: false, looking: false, trouble: '', news: '', unasked: false, whole: '', filter: filterOfAddress() },
  ...{ waiting: 0, modules: [], languages: [], routes: [], progress: { mine: 0, everyone: 0, median_ms: null } },
  ...{ unsent: 0, ofOthers: new Map(), refused: [], undo: '', tokens: false },
};
/** @type {Done[]} */
const done = [];
/** Items whose answers were undone here, and when this page last knew that they were lent to it. @type {Map<string, { task: Task, known: number }>} */
const restored = new Map();
/** Ids of conversations answered here. They are not shown again unless the answer is undone. @type {Set<string>} */
const answered = new Set();
/** The most time that counts per answer (migrations/002_conversations.sql). An answer to many messages counts as one. */
const MAX_ANSWER_MS = 600_000;
let shownAt = performance.now();
let shownId = '';
let [asking, again] = [false, false];
/** @type {import('./label-picker.js').KnownLabel[] | undefined} */
let labels;

/** The id of this open page. It survives a reload, so that the page keeps its items. */
const session = takeSession();
const outbox = openOutbox(({ sent, held, refused }) => {
  bringBack(refused);
  if (sent || held || refused.length > 0) void load();
  if (sent) {
    // Undone items return to the queue one by one; the second request gets the complete group.
    setTimeout(() => void load(), LOOK_AGAIN_MS);
  }
  draw();
});

/** Undoes the effects of refused answers here: the item waits again, or after a refused undo it is removed. @param {any[]} refused */
function bringBack(refused) {
  for (const { review_id, conversation_id: id, withdraws } of refused) {
    if (withdraws === undefined) answered.delete(id);
    else if (restored.delete(id)) state.items = state.items.filter((task) => task.conversation_id !== id);
    for (const one of done) one.reviews = one.reviews.filter((review) => review.review_id !== review_id);
  }
  const left = done.filter(({ reviews }) => reviews.length > 0);
  done.splice(0, done.length, ...left);
}

/** The filter from the address, which can be bookmarked. */
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

/** The session that the previous page left in this tab. It is removed there, because a duplicated tab starts with a copy of the storage. */
function takeSession() {
  try {
    const left = sessionStorage.getItem('samvad.session');
    sessionStorage.removeItem('samvad.session');
    return left ?? newId();
  } catch {
    return newId();
  }
}

function leaveSession() {
  try {
    sessionStorage.setItem('samvad.session', session);
  } catch {
    // not allowed: the next page begins a new session
  }
}

/** A random id. `crypto.randomUUID` exists on secure origins only. */
function newId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

function draw() {
  state.unsent = outbox.waiting();
  state.ofOthers = outbox.ofOthers();
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

/**
 * Requests the next items and the ticked similar ones; this also renews the leases of held items. If a request is already under
 * way, `insist` causes another one after it.
 */
async function load(insist = false) {
  if (asking) again ||= insist;
  if (asking || state.reviewer === '') return;
  asking = true;
  const midnight = new Date();
  midnight.setHours(0, 0, 0, 0);
  const { filter } = state;
  const chosen = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== ''));
  try {
    const body = {
      reviewer: state.reviewer,
      session,
      count: state.loaded ? HELD : 1, // a single item arrives sooner than six
      since: midnight.toISOString(),
      ...chosen,
      ...joining(),
    };
    const [answer, { needed }] = await Promise.all([
      ask('/v1/review-queue/next', { method: 'POST', body, repeatable: true }),
      signedIn(),
    ]);
    state.tokens = needed;
    if (answer.reviewer !== body.reviewer) {
      goBy(answer.reviewer);
      // Another person has signed in, in another tab, and must not see the items of this page.
      if (state.loaded) return location.reload();
    }
    // If the filter has changed meanwhile, this response is outdated, and the next request gets the right items.
    if (filter === state.filter) take(answer);
    again ||= !state.loaded || filter !== state.filter;
    state.loaded = true;
    state.trouble = '';
  } catch (error) {
    state.trouble = error instanceof Refused ? error.message : 'The server does not answer.';
  }
  asking = false;
  state.looking = again;
  draw();
  if (again) {
    again = false;
    await load();
  }
}

/** Sets the reviewer's name, also for the next visit. @param {string} reviewer */
function goBy(reviewer) {
  state.reviewer = reviewer;
  remember('samvad.reviewer', reviewer);
}

/** Ticked similar items that are not lent to this page yet. */
function joining() {
  const task = state.items[0];
  const wanted = task?.similar.filter(({ conversation_id: id, joined }) => !joined && state.ticks.get(id)) ?? [];
  const ids = wanted.map(({ conversation_id: id }) => id);
  return task && ids.length > 0 ? { join: { lead: task.conversation_id, ids } } : {};
}

/** @param {any} answer */
function take({ items, waiting, modules, languages, routes, progress }) {
  const unsent = outbox.waitingIds();
  dropLost(items, unsent);
  const open = (/** @type {Alike} */ { conversation_id: id }) =>
    !answered.has(id) && !unsent.has(id) && !restored.has(id);
  const fresh = /** @type {Task[]} */ (items)
    .filter(open)
    .map((task) => ({ ...task, group: task.group.filter(open), similar: task.similar.filter(open) }));
  const current = state.items[0];
  const back = [...restored.values()].map(({ task }) => task).reverse();
  const kept = current && [...back, ...fresh].find(({ conversation_id: id }) => id === current.conversation_id);
  if (current && !kept && !answered.has(current.conversation_id))
    warn('Somebody else has answered the previous message, or its time ran out.');
  for (const task of items)
    if (restored.has(task.conversation_id)) takeAlike(restored.get(task.conversation_id)?.task, task);
  if (current && kept) untickLost(current, kept);
  // The current item stays first; then come undone items, the last one first.
  state.items = [...(kept ? [kept] : []), ...[...back, ...fresh].filter((task) => task !== kept)];
  Object.assign(state, { waiting, modules, languages, routes, progress });
}

/** Messages that are lent together with an item. @param {Task} task @returns {Alike[]} */
const lentWith = ({ group, similar }) => [...group, ...similar.filter((one) => one.joined)];

/** Drops undone items that the server no longer lends to this page: somebody else may have them. @param {Task[]} items @param {Set<string>} unsent */
function dropLost(items, unsent) {
  const lent = new Set(items.flatMap((task) => [task, ...lentWith(task)]).map(({ conversation_id: id }) => id));
  const now = performance.now();
  for (const [id, one] of restored) {
    if (lent.has(id) || unsent.has(id)) one.known = now;
    if (now - one.known < GRACE_MS) continue;
    restored.delete(id);
    for (const alike of lentWith(one.task)) answered.delete(alike.conversation_id);
  }
}

/** Adds new members to the group of an undone item, and updates its similar messages. @param {Task | undefined} task @param {Task} fresh */
function takeAlike(task, { group, similar }) {
  if (!task) return;
  const joined = task.similar.filter((one) => one.joined);
  task.group = union(task.group, group);
  task.similar = union(similar, joined);
}

/** @template {Alike} T @param {T[]} first @param {T[]} more @returns {T[]} */
function union(first, more) {
  const has = new Set(first.map(({ conversation_id: id }) => id));
  return [...first, ...more.filter(({ conversation_id: id }) => !has.has(id))];
}

/** Unticks similar items that are gone, because somebody else has them. @param {Task} before @param {Task} now */
function untickLost({ similar }, now) {
  const here = new Set([...now.group, ...now.similar].map(({ conversation_id: id }) => id));
  for (const { conversation_id: id, joined } of similar)
    if (!joined && state.ticks.get(id) && !here.has(id) && state.ticks.delete(id))
      warn('Somebody else has one of the similar messages that you ticked; it is left out.');
}

/**
 * Answers the shown item, or `task`, shown since `since`, together with the messages of `goAlong` unless answering as a group is off.
 * @param {'approve' | 'correct' | 'reject' | 'skip'} verdict @param {Option} [label]
 */
function answer(verdict, label, task = state.items[0], since = shownAt) {
  if (!task) return;
  const along = state.asGroup ? goAlong(task, state.ticks) : [];
  const members = [task, ...along];
  const reviewed_at = new Date().toISOString();
  const taken = Math.round(Math.min(performance.now() - since, MAX_ANSWER_MS) / members.length);
  const shown = {
    ...{ intent: task.nlu_intent, module: task.nlu_module },
    ...{ confidence: task.nlu_confidence, model_version: task.model_version },
  };
  const answers = members.map(({ conversation_id }) => ({
    ...{ review_id: newId(), conversation_id, verdict, reviewed_at, shown, time_taken_ms: taken },
    ...(label && { corrected_module: label.module, corrected_intent: label.intent }),
  }));
  // After an undo, the other messages of the group are hidden. Those that are not answered now may appear on their own again.
  // For an item that was not undone, hidden ones are already answered and stay hidden.
  const hidden = restored.has(task.conversation_id) ? lentWith(task) : [];
  for (const one of hidden) if (!along.includes(one)) answered.delete(one.conversation_id);
  for (const { conversation_id } of members) {
    answered.add(conversation_id);
    restored.delete(conversation_id);
  }
  state.ticks.clear();
  state.items = state.items.filter(({ conversation_id: id }) => !answered.has(id));
  state.progress = {
    ...state.progress,
    mine: state.progress.mine + members.length,
    everyone: state.progress.everyone + members.length,
  };
  state.waiting = Math.max(0, state.waiting - members.length);
  const verb = { approve: 'approved', correct: 'corrected to', reject: 'rejected', skip: 'skipped' }[verdict];
  const what = label ? nameOf(label) : nameOf({ module: task.nlu_module, intent: task.nlu_intent });
  const said = `${verb} ${what}${members.length > 1 ? `, ${String(members.length)} at once` : ''}`;
  const reviews = answers.map(({ review_id, conversation_id }) => ({ review_id, conversation_id }));
  done.push({ task: { ...task, ...goneAlong(task, along) }, said, reviews });
  if (done.length > MAX_UNDO) done.shift();
  tell(said);
  // A label that was new in an earlier answer may not be in the server's tables yet, or its answer was undone.
  const isNew = label !== undefined && (label.isNew || given.some((one) => nameOf(one) === nameOf(label)));
  if (label?.isNew) given.push({ module: label.module, intent: label.intent, conversations: members.length });
  send(answers, isNew ? { new_label: true } : {});
}

/** The group to restore after an undo. @param {Task} task @param {Alike[]} along */
function goneAlong({ group, similar }, along) {
  const joined = similar.filter((one) => along.includes(one)).map((one) => ({ ...one, joined: true }));
  return { group: group.filter((one) => along.includes(one)), similar: joined };
}

function undo() {
  const last = done.pop();
  if (!last) return;
  const reviewed_at = new Date().toISOString();
  const answers = last.reviews.map(({ review_id, conversation_id }) => ({
    ...{ review_id: newId(), conversation_id, verdict: 'skip', withdraws: review_id, reviewed_at },
  }));
  const { task } = last;
  answered.delete(task.conversation_id);
  restored.set(task.conversation_id, { task, known: performance.now() });
  state.items = [task, ...state.items.filter(({ conversation_id }) => conversation_id !== task.conversation_id)];
  state.progress = {
    ...state.progress,
    mine: Math.max(0, state.progress.mine - answers.length),
    everyone: Math.max(0, state.progress.everyone - answers.length),
  };
  state.waiting += answers.length;
  tell(`Taken back: ${last.said}`);
  send(answers, {});
}

/** @param {object[]} answers @param {{ new_label?: boolean }} more */
function send(answers, more) {
  for (let from = 0; from < answers.length; from += MAX_ANSWERS)
    outbox.add({ reviewer: state.reviewer, session, answers: answers.slice(from, from + MAX_ANSWERS), ...more });
  draw();
}

/** Announces an action to screen readers only; other people see its effect. @param {string} said */
function tell(said) {
  const next = state.items[0];
  state.news = `${said}. ${next ? `Next: ${next.user_message.slice(0, 200)}` : 'Nothing else waits.'}`;
  state.unasked = false;
}

/** Shows everybody a change that the reviewer did not cause. @param {string} news */
function warn(news) {
  Object.assign(state, { news, unasked: true });
}

/** New labels from this page's answers; the server's list is cached and may lack them for a while. @type {import('./label-picker.js').KnownLabel[]} */
const given = [];

/** The server's labels and the new ones; undefined before the server's have loaded. */
function knownLabels() {
  const listed = new Set(labels?.map(nameOf));
  return labels && [...labels, ...given.filter((label) => !listed.has(nameOf(label)))];
}

/** Loads the labels and keeps them for next time. If they can't be loaded, the list is empty and every label counts as new. */
async function loadLabels() {
  labels = await ask('/v1/labels').catch(() => labels);
  return knownLabels() ?? [];
}

async function correct() {
  const [opened, since] = [state.items[0], shownAt];
  if (!opened) return;
  const label = await pickLabel(knownLabels(), loadLabels(), { module: opened.nlu_module, intent: opened.nlu_intent });
  if (!label) return;
  // While the dialog is open, the items may be reloaded: the item may be a new object by now, or gone. A late answer counts too.
  const task = state.items.find(({ conversation_id: id }) => id === opened.conversation_id) ?? opened;
  if (label.module === task.nlu_module && label.intent === task.nlu_intent) answer('approve', undefined, task, since);
  else answer('correct', label, task, since);
}

/** Asks for confirmation if leaving the page would lose answers. */
function mayLeave() {
  const asked = 'This browser keeps no answers, and the server does not have all of yours yet. Discard them?';
  return !outbox.endsWithPage() || confirm(asked);
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
  tick(messages, on) {
    for (const { conversation_id: id } of messages) state.ticks.set(id, on);
    draw();
    void load(true);
  },
  tickSimilar() {
    const similar = state.items[0]?.similar ?? [];
    if (similar.length > 0)
      acts.tick(similar, !similar.every(({ conversation_id: id, joined }) => state.ticks.get(id) ?? joined));
  },
  toggleKeys() {
    state.keys = !state.keys;
    remember('samvad.keys', state.keys ? 'on' : 'off');
    draw();
  },
  rename() {
    if (!mayLeave()) return;
    remember('samvad.reviewer', '');
    location.reload(); // the next person must not get this page's items; leaving the page returns them
  },
  signOut() {
    if (!mayLeave()) return;
    release();
    signOut().catch(({ message }) => {
      state.trouble = message;
      draw();
    });
  },
  show(task) {
    state.items = [task, ...state.items.filter((one) => one !== task)];
    state.unasked = false;
    draw();
  },
  showWhole(task) {
    state.whole = task.conversation_id;
    draw();
  },
  forget: (keys) => outbox.forget(keys),
  discard(name, entries) {
    if (confirm(`The server does not have these answers of ${name}. Discard them?`))
      outbox.forget(entries.map(({ key }) => key));
  },
  filter(name, value) {
    state.filter = { ...state.filter, [name]: value };
    const chosen = Object.entries(state.filter).filter(([, one]) => one !== '');
    history.replaceState(null, '', `?${String(new URLSearchParams(chosen))}`);
    Object.assign(state, { items: [], looking: true, unasked: false });
    draw();
    void load(true);
  },
  sign(event) {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    goBy(String(new FormData(form).get('reviewer') ?? '').trim());
    draw();
    void load();
  },
};

/** @type {Record<string, () => void>} */
const KEYS = {
  a: acts.approve,
  c: acts.correct,
  r: acts.reject,
  s: acts.skip,
  u: acts.undo,
  g: acts.toggleGroup,
  m: acts.tickSimilar,
};

/** @param {KeyboardEvent} event */
function onKey(event) {
  const { key, target, ctrlKey, metaKey, altKey, repeat } = event;
  const typing = target instanceof Element && target.closest('input:not([type=checkbox]), select, textarea');
  if (document.querySelector('dialog[open]')) return; // a click next to the list moves the focus to the page
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
addEventListener('pagehide', () => {
  leaveSession();
  release();
});
addEventListener('pageshow', ({ persisted }) => {
  if (!persisted) return;
  takeSession();
  void load();
});
setInterval(() => void load(), RENEW_MS);
setInterval(() => void ((state.items.length === 0 || state.trouble !== '') && load()), LOOK_AGAIN_MS);

/** Starts with the name of the last visit, or the token's. If they differ, the server's response has the token's name, which counts. */
async function open() {
  if (state.reviewer === '') {
    const name = (await signedIn().catch(() => undefined))?.name ?? '';
    if (name !== '') goBy(name);
  }
  const first = load();
  draw();
  await first;
  await loadLabels();
}

page.replaceChildren();
void outbox.flush();
void open();
