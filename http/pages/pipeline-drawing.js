// @ts-check
/** Draws the pipeline in columns from left to right: topics, processors and tables, with links in the direction of the records. */
import { html, svg } from '/assets/lit-html/lit-html.js';
import { count, rate } from './format.js';

/**
 * @typedef {{ name: string, does?: string, reads: string[], writes: string[], table: string }} Processor
 * @typedef {{ topics: { name: string, external: boolean, holds: string }[], processors: Processor[],
 *   projections: { name: string, reads: string, table: string }[] }} Topology
 * @typedef {{ topics: Record<string, number>, rates: Record<string, number>,
 *   lags: { component: string, topic: string, lag: number, ahead: number }[] }} Figures
 * @typedef {{ id: string, kind: 'topic' | 'processor' | 'table', title: string, hint: string, x: number, y: number }} Node
 */

const WIDTH = 162;
const HEIGHT = 46;
const GAP_X = 26;
const GAP_Y = 14;

/**
 * The links of the drawing. A processor's own table topic is left out if nothing else reads it.
 * @param {Topology} topology
 */
function edges({ topics, processors, projections }) {
  const own = new Set(processors.map(({ table }) => table));
  const drawn = new Set(topics.map(({ name }) => name));
  const links = [];
  for (const { name, reads, writes, table } of processors) {
    for (const topic of reads) links.push([topic, name]);
    for (const topic of [...writes, table]) {
      const loops = reads.includes(topic);
      const read =
        projections.some((one) => one.reads === topic) || processors.some((one) => one.reads.includes(topic));
      if (drawn.has(topic) && !loops && (read || !own.has(topic))) links.push([name, topic]);
    }
  }
  for (const { name, reads } of projections) links.push([reads, name]);
  return links;
}

/** Places each node one column to the right of all its sources. @param {Topology} topology */
export function layOut(topology) {
  const links = edges(topology);
  const ids = [...new Set(links.flat())];
  /** @type {Map<string, number>} */
  const column = new Map(ids.map((id) => [id, 0]));
  for (let round = 0; round < ids.length; round++)
    for (const [from = '', to = ''] of links)
      if ((column.get(to) ?? 0) < (column.get(from) ?? 0) + 1 && round < 12)
        column.set(to, (column.get(from) ?? 0) + 1);
  const processors = new Map(topology.processors.map((one) => [one.name, one]));
  const projections = new Map(topology.projections.map((one) => [one.name, one]));
  const topics = new Map(topology.topics.map((one) => [one.name, one]));
  /** @type {number[]} */
  const filled = [];
  /** @type {Map<string, Node>} */
  const nodes = new Map();
  for (const id of ids) {
    const x = column.get(id) ?? 0;
    const y = (filled[x] = (filled[x] ?? 0) + 1) - 1;
    const projection = projections.get(id);
    const kind = projection ? 'table' : processors.has(id) ? 'processor' : 'topic';
    const hint = projection
      ? `Postgres ${projection.table}`
      : (processors.get(id)?.does ?? topics.get(id)?.holds ?? '');
    const title = projection ? projection.table : id.replace(/^nlu\./, '');
    nodes.set(id, { id, kind, title, hint, x: x * (WIDTH + GAP_X) + 2, y: y * (HEIGHT + GAP_Y) + 2 });
  }
  const width = Math.max(1, filled.length) * (WIDTH + GAP_X) - GAP_X + 4;
  const height = Math.max(1, ...filled.map((n) => n ?? 0)) * (HEIGHT + GAP_Y) - GAP_Y + 4;
  return { nodes, links, width, height };
}

/** @param {Node} node @param {Figures | undefined} figures */
function note({ id, kind }, figures) {
  if (!figures) return '…';
  if (kind === 'topic') return `${rate(figures.rates[id] ?? 0)} /s · ${count(figures.topics[id] ?? 0)}`;
  const own = figures.lags.filter(({ component }) => component === id);
  const [lag, ahead] = [own.reduce((sum, one) => sum + one.lag, 0), own.reduce((sum, one) => sum + one.ahead, 0)];
  if (ahead > 0) return `${count(ahead)} ahead of its log`;
  return lag === 0 ? 'up to date' : `${count(lag)} behind`;
}

/** @param {Node} node @param {Figures | undefined} figures */
function box(node, figures) {
  const text = note(node, figures);
  const behind = / (behind|ahead)/.test(text);
  const busy = node.kind === 'topic' && (figures?.rates[node.id] ?? 0) > 0;
  const radius = node.kind === 'topic' ? 6 : 22;
  return svg`<g class="node ${node.kind} ${behind ? 'behind' : ''} ${busy ? 'busy' : ''}" transform="translate(${node.x} ${node.y})">
    <title>${node.title}: ${node.hint}</title>
    <rect width=${WIDTH} height=${HEIGHT} rx=${radius}></rect>
    <text x="12" y="19" class="name">${node.title.length > 24 ? `${node.title.slice(0, 23)}…` : node.title}</text>
    <text x="12" y="36" class="note">${text}</text>
  </g>`;
}

/** @param {ReturnType<typeof layOut>} layout @param {Figures | undefined} figures */
export function drawing({ nodes, links, width, height }, figures) {
  const lines = links.map(([from = '', to = '']) => {
    const [a, b] = [nodes.get(from), nodes.get(to)];
    if (!a || !b) return '';
    const [x1, y1, x2, y2] = [a.x + WIDTH, a.y + HEIGHT / 2, b.x, b.y + HEIGHT / 2];
    const bend = Math.max(24, (x2 - x1) / 2);
    const moving = (figures?.rates[from] ?? figures?.rates[to] ?? 0) > 0;
    return svg`<path class=${moving ? 'link moving' : 'link'} d="M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}"></path>`;
  });
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Drawing of the pipeline">
    <svg
      class="pipeline"
      width=${width}
      height=${height}
      viewBox="0 0 ${width} ${height}"
      role="img"
      aria-label="Topics, processors and tables from left to right; the table below has the same figures"
    >
      ${lines}${[...nodes.values()].map((node) => box(node, figures))}
    </svg>
  </div>`;
}
