// @ts-check
/** Compares model versions, and shows the origin of each. */
import { html } from '/assets/lit-html/lit-html.js';
import { ask, Refused, show, showError } from './api.js';
import { count, moment, share, signed, tone } from './format.js';
import { reportSections } from './model-report.js';
import { table } from './table.js';
import { answered } from './words.js';

/** @param {any} one @param {any} before */
function row(one, before) {
  const gain =
    before && one.test_accuracy != null && before.test_accuracy != null
      ? one.test_accuracy - before.test_accuracy
      : null;
  return html`<tr>
    <td><a href=${`?version=${one.version}`}>${one.version}</a></td>
    <td><span class="badge ${tone(one.status)}">${one.status}</span></td>
    <td class="number">${one.traffic_percentage} %</td>
    <td class="number">${share(one.test_accuracy)}</td>
    <td class="number">${gain === null ? '–' : signed(gain)}</td>
    <td class="number">${share(one.production_accuracy)}</td>
    <td class="number">${one.average_latency_ms == null ? '–' : `${one.average_latency_ms.toFixed(1)} ms`}</td>
    <td class="number">${count(one.training_samples)}</td>
    <td class="small quiet">${moment(one.created_at)}</td>
  </tr>`;
}

/** The state of a version's rollout: why it has no trial, or the last verdict on a step. @param {any} model */
function rollout({ no_trial, judged }) {
  if (no_trial !== null) return no_trial;
  if (judged === null) return 'not judged yet';
  const counted = judged.labels > 0 ? ` with ${count(judged.labels)} labels` : ''; // older verdicts have no number of labels
  return html`<span class="badge ${tone(judged.verdict)}">${judged.verdict}</span> at ${judged.traffic_percentage}
    %${counted}, ${moment(judged.at)}. ${judged.reasons.join(' ')}`;
}

/** @param {any[]} models @param {any[]} deployments */
const overview = (models, deployments) =>
  html` <section class="card">
      <h2>Versions</h2>
      ${table(
        'Versions',
        {
          ...{ version: '', status: '', traffic: 'number', 'test accuracy': 'number', 'gain, points': 'number' },
          ...{ 'production accuracy': 'number', latency: 'number', samples: 'number', made: '' },
        },
        models.map((one, i) => row(one, models[i + 1])),
      )}
      ${models.filter(({ no_trial, status }) => no_trial !== null || status === 'canary').map((one) => html`<p>${one.version}: ${rollout(one)}</p>`)}
    </section>
    <section class="card">
      <h2>Changes of traffic</h2>
      ${table(
        'Changes of traffic',
        { when: '', version: '', status: '', traffic: 'number', by: '', reason: '' },
        deployments.map(
          (one) =>
            html`<tr>
              <td class="small quiet">${moment(one.deployed_at)}</td>
              <td><a href=${`?version=${one.version}`}>${one.version}</a></td>
              <td><span class="badge ${tone(one.status)}">${one.status}</span></td>
              <td class="number">${one.traffic_percentage} %</td>
              <td>${one.deployed_by}</td>
              <td class="text">${one.reason}</td>
            </tr>`,
        ),
      )}
    </section>`;

/** The data set of a version; a link if a run made it, because only a run stores the manifest that the page shows. @param {any} lineage */
const dataSet = ({ run, data_set: { sha256 } }) =>
  run === null || sha256 === null ? (sha256 ?? '–') : html`<a href=${`/data-sets?sha256=${sha256}`}>${sha256}</a>`;

/** @param {any} model @param {any} lineage @param {any} report Null if there is none. */
const detail = (model, lineage, report) =>
  html` <p><a href="/models">All versions</a></p>
    <section class="card">
      <h2>${model.version} <span class="badge ${tone(model.status)}">${model.status}</span></h2>
      <dl class="facts">
        <dt>on the test set</dt>
        <dd>${share(model.test_accuracy)}</dd>
        <dt>in production</dt>
        <dd>${share(model.production_accuracy)}</dd>
        <dt>auto-approved</dt>
        <dd>
          ${report ? `${share(report.evaluation.autoApprovalRate)} under the policy of that time, ${share(report.evaluation.autoApprovedAccuracy)} of them right` : '–'}
        </dd>
        <dt>verdict</dt>
        <dd>
          ${model.verdict ? html`<span class="badge ${tone(model.verdict)}">${model.verdict}</span>` : '–'}
          ${model.compared_with ? html`against <a href=${`?version=${model.compared_with}`}>${model.compared_with}</a>` : ''}
          ${model.reasons.map((/** @type {string} */ reason) => html`<div>${reason}</div>`)}
        </dd>
        ${
          (model.no_trial ?? model.judged)
            ? html`<dt>rollout</dt>
                <dd>${rollout(model)}</dd>`
            : ''
        }
        <dt>model file</dt>
        <dd class="mono">${model.artifact_sha256 ?? 'none'}</dd>
        <dt>report</dt>
        <dd>
          ${report ? html`<a href=${`/v1/models/${model.version}/report.html`}>curves, calibration and the whole matrix</a>` : 'none: it was not trained by this system, or its file is on another machine'}
        </dd>
      </dl>
    </section>
    ${report ? reportSections(report) : ''}
    <section class="card">
      <h2>Where it came from</h2>
      <dl class="facts">
        <dt>parent</dt>
        <dd>
          ${lineage.parent_version ? html`<a href=${`?version=${lineage.parent_version}`}>${lineage.parent_version}</a>` : '–'}
        </dd>
        <dt>run</dt>
        <dd>${lineage.run?.run_id ?? '–'}</dd>
        <dt>data set</dt>
        <dd class="mono">${dataSet(lineage)}</dd>
        <dt>trained on</dt>
        <dd>
          ${count(lineage.data_set.training_samples)} samples; of those in its ranges that stand today,
          ${count(lineage.standing_today.by_people)} by people and ${count(lineage.standing_today.automatic)} automatic
        </dd>
      </dl>
      ${
        lineage.samples.length === 0
          ? html`<p class="quiet">No samples of its data set are known here.</p>`
          : table(
              'Samples',
              { text: '', label: '', labelled: '', review: '' },
              lineage.samples.map(
                (/** @type {any} */ one) =>
                  html`<tr>
                    <td class="text" lang=${one.language} dir="auto">
                      <a href=${`/conversations?id=${encodeURIComponent(one.conversation_id)}`}
                        >${one.text.slice(0, 100)}</a
                      >
                    </td>
                    <td>${one.module} / ${one.intent}</td>
                    <td>${one.source === 'human' ? 'by a person' : 'automatically'}</td>
                    <td>${one.review ? `${answered(one.review.verdict)} by ${one.review.reviewer}` : ''}</td>
                  </tr>`,
              ),
            )
      }
    </section>`;

/** Null for a missing report, whose file may be on another machine. Rethrows other errors. @param {unknown} error */
function noReport(error) {
  if (error instanceof Refused && error.problem.status === 404) return null;
  throw error;
}

try {
  const version = new URLSearchParams(location.search).get('version');
  if (version === null)
    show(
      overview(
        .../** @type {[any[], any[]]} */ (await Promise.all([ask('/v1/models'), ask('/v1/deployments?limit=50')])),
      ),
    );
  else {
    const url = `/v1/models/${encodeURIComponent(version)}`;
    document.title = `${version} · Samvad`;
    const model = await ask(url);
    const report = model.report_sha256 === null ? null : await ask(`${url}/report`).catch(noReport);
    show(detail(model, await ask(`${url}/lineage?limit=20`), report));
  }
} catch (error) {
  showError(error);
}
