// @ts-check
/** Training data: progress towards the next run, data sets, and exports. */
import { html } from '/assets/lit-html/lit-html.js';
import { ask, show, showError } from './api.js';
import { count, moment, tone } from './format.js';
import { table, tile } from './table.js';

/** @param {string} sha256 */
const link = (sha256) => html`<a class="mono" href=${`?sha256=${sha256}`} title=${sha256}>${sha256.slice(0, 12)}</a>`;

/** @param {string} version */
const versionLink = (version) => html`<a href=${`/models?version=${version}`}>${version}</a>`;

/** @param {any} samples */
const tiles = (samples) =>
  html`<div class="tiles">
    ${tile('Approved samples', count(samples.standing), `${count(samples.by_people)} by people, ${count(samples.automatic)} automatic`)}
    ${tile('Unused', count(samples.unused), 'no version was trained on them')}
    ${tile(
      'Towards the next run',
      html`${count(samples.approvals_since_last_run)} <span class="quiet">of ${count(samples.threshold)}</span>`,
      html`<progress
        max=${samples.threshold}
        value=${Math.min(samples.threshold, samples.approvals_since_last_run)}
        aria-label="Approvals towards the next run"
      ></progress>`,
    )}
  </div>`;

/** The runs and exports that used a data set. @param {any} one */
const uses = (one) =>
  html`${one.runs.map(
    (/** @type {any} */ run) => html`<div>${run.version ? versionLink(run.version) : `run ${run.run_id}`}</div>`,
  )}
  ${one.exports.length === 0 ? '' : html`<div>${one.exports.length === 1 ? 'an export' : `${one.exports.length} exports`}</div>`}`;

/** Filters of an export as its options. @param {Record<string, unknown>} filters */
const options = (filters) =>
  Object.entries(filters)
    .map(([name, value]) => (value === true ? name : `${name} ${value}`))
    .join(', ');

/** @param {any[]} jobs */
const exportsTable = (jobs) =>
  table(
    'Exports',
    { when: '', standing: '', format: '', filters: '', samples: 'number', 'data set': '', to: '' },
    jobs.map(
      (job) =>
        html`<tr>
          <td class="small quiet">${moment(job.created_at)}</td>
          <td class=${job.error ? 'text' : ''}>
            <span class="badge ${tone(job.status)}">${job.status}</span>
            ${job.error ? html`<div class="small">${job.error}</div>` : ''}
          </td>
          <td>${job.format}</td>
          <td>${options(job.filters) || '–'}</td>
          <td class="number">${job.samples === null ? '–' : count(job.samples)}</td>
          <td>${job.sha256 === null ? '–' : link(job.sha256)}</td>
          <td class="mono">${job.output ?? '–'}</td>
        </tr>`,
    ),
  );

/** @param {any} samples @param {any[]} sets @param {any[]} jobs */
const overview = (samples, sets, jobs) =>
  html`${tiles(samples)}
    <section class="card">
      <h2>Data sets</h2>
      ${
        sets.length === 0
          ? html`<p class="quiet">None yet: the first training run or export creates one.</p>`
          : table(
              'Data sets',
              { 'SHA-256': '', samples: 'number', 'used by': '', made: '' },
              sets.map(
                (one) =>
                  html`<tr>
                    <td>${link(one.sha256)}</td>
                    <td class="number">${count(one.rows)}</td>
                    <td>${uses(one)}</td>
                    <td class="small quiet">${moment(one.made_at)}</td>
                  </tr>`,
              ),
            )
      }
    </section>
    <section class="card">
      <h2>Exports</h2>
      ${jobs.length === 0 ? html`<p class="quiet">None yet. <code>samvad export</code> writes approved samples to a file.</p>` : exportsTable(jobs)}
    </section>`;

/** @param {string} title @param {Record<string, number>} counts */
const counted = (title, counts) =>
  html`<section class="card">
    <h2>By ${title}</h2>
    ${table(
      `Samples by ${title}`,
      { [title]: '', samples: 'number' },
      Object.entries(counts)
        .sort(([, a], [, b]) => b - a)
        .map(
          ([name, rows]) =>
            html`<tr>
              <td>${name}</td>
              <td class="number">${count(rows)}</td>
            </tr>`,
        ),
    )}
  </section>`;

/** @param {any} one */
function detail(one) {
  const { manifest } = one;
  const version = one.runs.find((/** @type {any} */ run) => run.version)?.version;
  return html` <p><a href="/data-sets">All data sets</a></p>
    <section class="card">
      <h2>${count(manifest.rows)} samples</h2>
      <dl class="facts">
        <dt>SHA-256</dt>
        <dd class="mono">${one.sha256}</dd>
        <dt>used by</dt>
        <dd>${uses(one)}</dd>
        <dt>labelled</dt>
        <dd>${count(manifest.by_source.human ?? 0)} by people, ${count(manifest.by_source.auto ?? 0)} automatically</dd>
        <dt>made</dt>
        <dd>${moment(one.made_at)}</dd>
        <dt>filters</dt>
        <dd>
          ${options(manifest.filters) || 'none'}${manifest.limit === null ? '' : `, ${count(manifest.limit)} at most`}
        </dd>
        <dt>samples used before</dt>
        <dd>${manifest.unused_since === null ? 'included' : 'left out'}</dd>
        <dt>policies</dt>
        <dd>${manifest.policy_versions.join(', ') || '–'}</dd>
        <dt>schemas</dt>
        <dd>${manifest.schema_ids.join(', ') || '–'}</dd>
        <dt>code</dt>
        <dd class="mono">${manifest.code_version}</dd>
        <dt>again</dt>
        <dd><code>samvad export ${version ? `--for-version ${version}` : '--manifest FILE.manifest.json'}</code></dd>
      </dl>
    </section>
    <div class="grid">
      <section class="card">
        <h2>Offsets of ${manifest.topic}</h2>
        ${table(
          'Offsets',
          { partition: 'number', from: 'number', 'up to': 'number' },
          Object.entries(manifest.offsets).map(
            ([partition, range]) =>
              html`<tr>
                <td class="number">${partition}</td>
                ${/** @type {number[]} */ (range).map((offset) => html`<td class="number">${count(offset)}</td>`)}
              </tr>`,
          ),
        )}
      </section>
      ${counted('module', manifest.by_module)}${counted('language', manifest.by_language)}
    </div>
    ${counted('intent', manifest.by_intent)}`;
}

try {
  const sha256 = new URLSearchParams(location.search).get('sha256');
  if (sha256 !== null) show(detail(await ask(`/v1/data-sets/${encodeURIComponent(sha256)}`)));
  else
    show(
      overview(
        .../** @type {[any, any[], any[]]} */ (
          await Promise.all(['/v1/samples', '/v1/data-sets', '/v1/export-jobs'].map((url) => ask(url)))
        ),
      ),
    );
} catch (error) {
  showError(error);
}
