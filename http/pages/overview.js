// @ts-check
/** The dashboard: live figures come by server-sent events; slow figures are requested every 15 seconds. */
import { html } from '/assets/lit-html/lit-html.js';
import { ask, show, showError } from './api.js';
import { asTable, draw } from './chart.js';
import { ago, count, figure, moment, rate, share, target, tone } from './format.js';
import { drawing, layOut } from './pipeline-drawing.js';
import { table, tile } from './table.js';
import { prose } from './words.js';

const LOADING = html`<p class="quiet">Loading …</p>`;
const SLOW_MS = 15_000;
const LISTEN_AGAIN_MS = 3000;
/** The range shown on each side of a single point, in seconds. */
const HOUR_S = 3600;

/** `away` says why the live figures are not current, `stale` why the slow ones are not; empty if they are current. @type {any} */
const state = {
  ...{ live: undefined, away: '', stale: '' },
  ...{ kpis: [], overview: undefined, models: [], deployments: [], runs: [] }, // requested together; only `kpis` may fail alone
};
/** @type {ReturnType<typeof layOut>} */
let layout;

const ARROWS = /** @type {Record<string, string>} */ ({ up: '▲ rising', down: '▼ falling', level: '● level' });
/** For each class, its name and the inbox for it. Audits have no filter, because the inbox must not tell drawn items apart. */
const CLASSES = /** @type {Record<string, [name: string, inbox: string]>} */ ({
  1: ['priority review', '/review?route=priority-review'],
  2: ['needs review', '/review?route=needs-review'],
  3: ['audit', '/review'],
});

/** @param {any} live */
function headline(live) {
  if (!live) return html`<p class="quiet">Waiting for the first figures …</p>`;
  const { totals, queue, rates, lags, dead_letters: letters } = live;
  const sum = (/** @type {'lag' | 'ahead'} */ of) =>
    lags.reduce((/** @type {number} */ all, /** @type {any} */ one) => all + one[of], 0);
  const [behind, ahead] = [sum('lag'), sum('ahead')];
  return html`<div class="tiles">
    ${tile('Conversations', count(totals.conversations), `${rate(rates['nlu.conversations'] ?? 0)} a second now`)}
    ${tile('Waiting for a person', count(totals.waiting), queue.oldest ? html`oldest ${ago(queue.oldest)}, <a href="/review">answer them</a>` : 'none waits')}
    ${tile('Approved samples', count(totals.samples), '')}
    ${tile('Records behind', count(behind), ahead > 0 ? `${count(ahead)} ahead of the log; the drawing shows where` : behind === 0 ? 'every component is up to date' : 'the drawing shows where')}
    ${tile('Dead letters', count(letters), letters === 0 ? 'none is open' : html`<a href="/dead-letters">see why</a>`)}
  </div>`;
}

/** @param {any} kpi */
const kpiCard = (kpi) =>
  html`<li class="kpi">
    <div class="row spread">
      <span class="label">${kpi.title}</span>
      <span class="badge ${kpi.standing === 'on target' ? 'good' : kpi.standing === 'off target' ? 'warn' : ''}"
        >${kpi.standing}</span
      >
    </div>
    <div class="row">
      <strong class="value">${figure(kpi.value, kpi.unit)}</strong
      ><span class="quiet small">${kpi.trend ? ARROWS[kpi.trend] : ''}</span>
    </div>
    <div class="quiet small">
      target ${target(kpi.target, kpi.unit)}${kpi.before === null ? '' : `, before ${figure(kpi.before, kpi.unit)}`}
    </div>
    ${kpi.advice ? html`<div class="small">${prose(kpi.advice)}</div>` : ''}
  </li>`;

function kpis() {
  const groups = [...new Set(state.kpis.map((/** @type {any} */ kpi) => kpi.group))];
  return html`<section class="card wide">
    <h2>Key figures, last seven days</h2>
    ${groups.length === 0 ? LOADING : ''}
    ${groups.map(
      (group) =>
        html`<h3 class="quiet">${group}</h3>
          <ul class="kpis">
            ${state.kpis.filter((/** @type {any} */ kpi) => kpi.group === group).map(kpiCard)}
          </ul>`,
    )}
  </section>`;
}

function components() {
  const lags = state.live?.lags ?? [];
  return html`<details>
    <summary>As a table</summary>
    ${table(
      'Lag of each component',
      { component: '', reads: '', end: 'number', behind: 'number' },
      lags.map(
        (/** @type {any} */ one) =>
          html`<tr>
            <td>${one.component}</td>
            <td>${one.topic}</td>
            <td class="number">${count(one.end)}</td>
            <td class="number">${one.ahead > 0 ? `${count(one.ahead)} ahead of its log` : count(one.lag)}</td>
          </tr>`,
      ),
    )}
  </details>`;
}

function queue() {
  const classes = Object.entries(state.live?.queue.classes ?? {});
  return html`<section class="card">
    <h2>Queue</h2>
    ${
      classes.length === 0
        ? state.live
          ? html`<p class="quiet">Nothing waits for a person.</p>`
          : LOADING
        : html`<dl class="facts">
            ${classes.map(([number, waiting]) => {
              const [name, inbox] = CLASSES[number] ?? [number, '/review'];
              return html`<dt><a href=${inbox}>${name}</a></dt>
                <dd class="number">${count(Number(waiting))}</dd>`;
            })}
          </dl>`
    }
  </section>`;
}

function runs() {
  const running = state.live?.runs ?? [];
  const past = state.runs
    .filter((/** @type {any} */ run) => !['requested', 'running'].includes(run.status))
    .slice(0, 5);
  const progress = (/** @type {any} */ run) =>
    run.epochs > 0
      ? html`<progress max=${run.epochs} value=${run.epoch} aria-label="Progress of ${run.run_id}"></progress>
          <span class="small quiet">${run.stage ?? ''} ${run.epoch} of ${run.epochs}</span>`
      : html`<span class="small quiet">${run.stage ?? 'waits for a trainer'}</span>`;
  return html`<section class="card">
    <h2>Training</h2>
    ${running.map((/** @type {any} */ run) => html`<p><strong>${run.run_id}</strong> <span class="badge warn">${run.status}</span><br />${progress(run)}</p>`)}
    ${state.overview ? '' : LOADING}
    ${state.overview && running.length + past.length === 0 ? html`<p class="quiet">No training yet. A run starts by itself when enough samples are approved.</p>` : ''}
    <ul class="plain">
      ${past.map((/** @type {any} */ run) => {
        const outcome = run.status === 'finished' ? run.verdict : run.status; // a resumed run may have both
        return html`<li class="row spread">
          <span>${run.run_id} <span class="quiet small">${moment(run.finished_at)}</span></span
          ><span class="badge ${tone(outcome)}">${outcome}</span>
        </li>`;
      })}
    </ul>
  </section>`;
}

function rollout() {
  const serving = state.models.filter((/** @type {any} */ one) => one.traffic_percentage > 0);
  const [latest] = state.deployments;
  return html`<section class="card">
    <h2>In charge</h2>
    ${state.overview ? '' : LOADING}
    ${state.overview && serving.length === 0 ? html`<p class="quiet">No version gets traffic.</p>` : ''}
    <ul class="plain">
      ${serving.map(
        (/** @type {any} */ one) =>
          html`<li>
            <div class="row spread">
              <a href=${`/models?version=${one.version}`}>${one.version}</a
              ><span class="badge ${tone(one.status)}">${one.status}</span>
            </div>
            <meter
              min="0"
              max="100"
              value=${one.traffic_percentage}
              aria-label="Share of the traffic of ${one.version}"
            ></meter>
            <span class="small quiet">${one.traffic_percentage} % of the traffic</span>
          </li>`,
      )}
    </ul>
    ${latest ? html`<p class="small quiet">Last change: ${latest.version} ${latest.status}, ${moment(latest.deployed_at)}. ${latest.reason}</p>` : ''}
  </section>`;
}

function view() {
  return html` ${state.away || state.stale ? html`<p class="notice bad" role="status" id="away">${state.away || state.stale}</p>` : ''}
    ${headline(state.live)}
    <section class="card">
      <h2>Pipeline</h2>
      ${drawing(layout, state.live)}${components()}
    </section>
    <div class="grid">
      ${queue()}${runs()}${rollout()} ${Object.entries(charts()).map(([id, one]) => chartCard(id, one))} ${kpis()}
    </div>`;
}

const NO_TRAFFIC = html`<p class="quiet">
  No conversations yet. Send some with <code>npx samvad ingest FILE.jsonl</code>.
</p>`;

/**
 * A card with a chart and the same data as a table, or with `instead`. `update` draws the chart once the card is on the page.
 * @typedef {{ title: string, chart: import('./chart.js').Chart | undefined, instead: unknown }} Charted
 * @param {string} id @param {Charted} charted
 */
const chartCard = (id, { title, chart, instead }) =>
  html`<section class="card">
    <h2>${title}</h2>
    <div
      id=${id}
      class="chart"
      role="img"
      aria-label="${title}; the table below has the same figures"
      ?hidden=${!chart}
    ></div>
    ${chart ? asTable(title, chart) : state.overview ? instead : LOADING}
  </section>`;

/** The charts by the id of their element. @returns {Record<string, Charted>} */
function charts() {
  const { routing = [], confidence = [] } = state.overview ?? {};
  const models = state.models.toReversed();
  const traffic = routing.length > 0;
  return {
    routing: {
      title: 'Routing over time, UTC',
      chart: traffic ? routingChart(routing) : undefined,
      instead: NO_TRAFFIC,
    },
    confidence: { title: 'Confidence', chart: traffic ? confidenceChart(confidence) : undefined, instead: NO_TRAFFIC },
    accuracy: {
      title: 'Accuracy by version',
      chart: models.length > 0 ? accuracyChart(models) : undefined,
      instead: html`<p class="quiet">No version yet.</p>`,
    },
  };
}

/** @param {any[]} routing @returns {import('./chart.js').Chart} */
function routingChart(routing) {
  const column = (/** @type {string} */ name) => routing.map((row) => row[name]);
  return {
    data: [column('at'), column('auto_approved'), column('needs_review'), column('priority_review')],
    time: true,
    ...(routing.length === 1 && { xRange: [routing[0].at - HOUR_S, routing[0].at + HOUR_S] }),
    y: count,
    series: [
      { label: 'auto-approved', colour: 'auto', points: routing.length < 3 },
      { label: 'needs review', colour: 'needs', points: routing.length < 3 },
      { label: 'priority review', colour: 'priority', points: routing.length < 3 },
    ],
  };
}

/** @param {number[]} confidence conversations per twentieth @returns {import('./chart.js').Chart} */
function confidenceChart(confidence) {
  return {
    data: [confidence.map((_, bin) => (bin + 0.5) / confidence.length), confidence],
    y: count,
    xLabel: 'confidence',
    xRange: [0, 1],
    series: [{ label: 'conversations', colour: 'auto', bars: true }],
  };
}

/** @param {any[]} models oldest first @returns {import('./chart.js').Chart} */
function accuracyChart(models) {
  return {
    data: [
      models.map((_, i) => i),
      models.map((one) => one.test_accuracy),
      models.map((one) => one.production_accuracy),
    ],
    x: (i) => (Number.isInteger(i) ? (models[i]?.version.replace('router-', '') ?? '') : ''),
    y: (value) => share(value, 0),
    min: 0,
    max: 1,
    xLabel: 'version',
    xRange: [-0.5, models.length - 0.5],
    series: [
      { label: 'on the test set', colour: 'auto', points: true },
      { label: 'in production', colour: 'priority', points: true },
    ],
  };
}

function update() {
  show(view());
  for (const [id, { chart }] of Object.entries(charts()))
    if (chart) draw(/** @type {HTMLElement} */ (document.getElementById(id)), chart);
}

async function slow() {
  // The key figures read whole tables, so they may fail while the other requests succeed.
  const figures = ask('/v1/kpis').then(
    ({ kpis }) => ({ kpis, stale: '' }),
    ({ message }) => ({ stale: `The key figures could not be updated: ${message}` }),
  );
  const [overview, models, deployments, runList] = await Promise.all(
    ['/v1/overview', '/v1/models', '/v1/deployments?limit=1', '/v1/training-runs'].map((url) => ask(url)),
  );
  Object.assign(state, { overview, models, deployments, runs: runList, ...(await figures) });
}

/** @type {EventSource | undefined} */
let live;

/**
 * Receives live figures only while the page is visible: a browser has six connections to a server, and each dashboard
 * occupies one.
 */
function listen() {
  live?.close();
  if (document.hidden) return;
  const source = (live = new EventSource('/v1/live'));
  source.onmessage = ({ data }) => {
    Object.assign(state, { live: JSON.parse(data), away: '' });
    update();
  };
  const away = (/** @type {string} */ why) => {
    state.away = `${why}; these figures are not current. The page keeps trying.`;
    update();
  };
  source.addEventListener('away', () => away('Kafka or Postgres does not answer at the moment'));
  source.onerror = () => {
    away('The server sends no figures at the moment');
    // The browser gives up if the response is not an event stream, for example while the server starts. Otherwise it
    // reconnects by itself.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, LISTEN_AGAIN_MS);
  };
}

/** Requests the slow figures at intervals. After a failure, the page says why and keeps the last figures. */
async function goOn() {
  await slow().catch(({ message }) => {
    state.stale = `Key figures, models and charts could not be ${state.overview ? 'updated' : 'read'}: ${message}`;
  });
  update();
  setTimeout(goOn, SLOW_MS);
}

try {
  layout = layOut(await ask('/v1/topology'));
  listen();
  document.addEventListener('visibilitychange', listen);
  await goOn();
} catch (error) {
  showError(error);
}
