// @ts-check
/** Charts in the page's colours, redrawn when the window or the colour scheme changes, and their data as tables. */
import { html } from '/assets/lit-html/lit-html.js';
import uPlot from '/assets/uplot/uPlot.esm.js';
import { table } from './table.js';

/** The computed value of a CSS colour variable, which a canvas needs. @param {string} name */
function colour(name) {
  const probe = document.createElement('span');
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

/**
 * @typedef {{ label: string, colour: string, bars?: boolean, points?: boolean }} Series
 * @typedef {{ data: number[][], series: Series[], time?: boolean, x?: (value: number) => string,
 *   y?: (value: number) => string, xLabel?: string, xRange?: [number, number], height?: number, min?: number, max?: number }} Chart
 */

/** @type {Map<Element, { chart: Chart, plot: uPlot }>} */
const drawn = new Map();

/** Draws the chart into `place`, replacing an earlier one. @param {HTMLElement} place @param {Chart} chart */
export function draw(place, chart) {
  const before = drawn.get(place);
  if (before && chart.x === undefined && fixed(before.chart) === fixed(chart)) {
    before.chart = chart;
    before.plot.setData(/** @type {any} */ (chart.data));
    return;
  }
  before?.plot.destroy();
  const plot = new uPlot(optionsOf(place, chart), /** @type {any} */ (chart.data), place);
  drawn.set(place, { chart, plot });
}

/**
 * What uPlot reads only once; a change needs another plot. Functions are left out: of those, only `x` depends on the data.
 * @param {Chart} chart
 */
const fixed = (chart) => JSON.stringify({ ...chart, data: undefined });

const DAY_S = 86_400;

/**
 * A time in UTC, because the server counts hours and days in UTC: west of it, a day would show the previous date.
 * @param {number} at Seconds since 1970. @param {Intl.DateTimeFormatOptions} style
 */
const utc = (at, style) => new Date(1000 * at).toLocaleString('en-GB', { ...style, timeZone: 'UTC' });

/** Labels of a time axis: days, or hours if the axis spans at most two days. @param {number[]} splits Seconds since 1970. */
const moments = (splits) =>
  splits.map((at) =>
    utc(
      at,
      (splits.at(-1) ?? 0) - (splits[0] ?? 0) > 2 * DAY_S
        ? { day: 'numeric', month: 'short' }
        : { hour: '2-digit', minute: '2-digit' },
    ),
  );

/** How the legend and the table format values. @param {Chart} chart */
function texts({ time = false, x, y = String, xLabel = '' }) {
  const day = (/** @type {number} */ at) => utc(at, { dateStyle: 'medium', timeStyle: 'short' });
  const place = x ?? (time ? day : String);
  return {
    title: time ? 'time, UTC' : xLabel,
    place: (/** @type {number | null | undefined} */ value) => (value == null ? '–' : place(value)),
    value: (/** @type {number | null | undefined} */ value) => (value == null ? '–' : y(value)),
  };
}

/** The values of a chart as a table, for readers who can't see the chart or can't point at it. @param {string} label @param {Chart} chart */
export function asTable(label, chart) {
  const { title, place, value } = texts(chart);
  const [places = [], ...columns] = chart.data;
  return html`<details>
    <summary>As a table</summary>
    ${table(
      label,
      { [title]: '', ...Object.fromEntries(chart.series.map((one) => [one.label, /** @type {const} */ ('number')])) },
      places.map(
        (at, row) =>
          html`<tr>
            <td>${place(at)}</td>
            ${columns.map((column) => html`<td class="number">${value(column[row])}</td>`)}
          </tr>`,
      ),
    )}
  </details>`;
}

/** @param {HTMLElement} place @param {Chart} chart @returns {uPlot.Options} */
function optionsOf(place, chart) {
  const { series, time = false, x, y, xRange, height = 220, min, max } = chart;
  const written = texts(chart);
  const axis = {
    stroke: colour('quiet'),
    grid: { stroke: colour('line'), width: 1 },
    ticks: { show: false },
    font: '12px system-ui, sans-serif',
  };
  const bars = uPlot.paths.bars?.({ size: [0.82, 40], gap: 0 });
  return {
    width: Math.max(200, place.clientWidth),
    height,
    legend: { live: true },
    tzDate: (at) => uPlot.tzDate(new Date(1000 * at), 'UTC'),
    cursor: { y: false, drag: { x: false, y: false } },
    scales: {
      x: { time, ...(xRange && { range: () => xRange }) },
      y: { range: (_plot, low, high) => [min ?? Math.min(0, low ?? 0), max ?? Math.max(1, (high ?? 1) * 1.08)] },
    },
    axes: [
      {
        ...axis,
        ...(x && { values: (_plot, splits) => splits.map(x) }),
        ...(time && { values: (_plot, splits) => moments(splits), space: 70 }),
        grid: { show: false },
      },
      { ...axis, size: 56, ...(y && { values: (_plot, splits) => splits.map(y) }) },
    ],
    series: [
      { label: written.title, value: (_plot, value) => written.place(value) },
      ...series.map(({ label, colour: name, bars: asBars, points }) => ({
        label,
        stroke: colour(name),
        width: asBars ? 0 : 2,
        points: { show: points ?? false, size: 8, fill: colour(name) },
        value: (/** @type {unknown} */ _plot, /** @type {number | null} */ value) => written.value(value),
        ...(asBars && { fill: colour(name), ...(bars && { paths: bars }) }),
      })),
    ],
  };
}

/** Redraws all charts. Iterates over a copy, because each redrawn chart is appended to the map again, and the loop would not end. */
function redraw() {
  for (const [place, { chart, plot }] of [...drawn]) {
    plot.destroy();
    drawn.delete(place);
    if (place.isConnected) draw(/** @type {HTMLElement} */ (place), chart);
  }
}

let waiting = 0;
addEventListener('resize', () => {
  clearTimeout(waiting);
  waiting = window.setTimeout(redraw, 150);
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
