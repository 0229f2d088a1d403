/**
 * The labelling configuration: the XML that tells Label Studio what to show and what to ask. This module reads and
 * writes only the choices of one control; everything else stays as its author wrote it.
 */
import path from 'node:path';
import type { Project } from './api.ts';

/** The names of the controls from which answers are read. */
export const CONTROLS = { message: 'message', label: 'label', use: 'use' } as const;

/** Module → its intents. */
export type Labels = ReadonlyMap<string, ReadonlySet<string>>;

/** The labelling configuration of the repository. */
export const CONFIG_FILE = path.join(import.meta.dirname, '..', 'label-studio-config.xml');

/** Why answers of a project can't be read, as phrases; empty when they can. */
export function configProblems({ parsed_label_config: controls }: Pick<Project, 'parsed_label_config'>): string[] {
  const label = controls[CONTROLS.label];
  const use = controls[CONTROLS.use];
  return [
    ...(label?.type !== 'Taxonomy' ? ['it has no <Taxonomy name="label">'] : []),
    ...(label && !label.to_name.includes(CONTROLS.message) ? ['`label` is not about <Text name="message">'] : []),
    ...(use && use.type !== 'Choices' ? ['its control `use` is not <Choices>'] : []),
  ];
}

/** Whether the project has no configuration yet: Label Studio creates projects with an empty view. */
export function isUnconfigured({ label_config, parsed_label_config }: Project): boolean {
  return Object.keys(parsed_label_config).length === 0 && !/<(Text|Taxonomy|Choices)\b/.test(label_config ?? '');
}

/** Whether the choices of `label` can be located in the XML. */
export function isReadable(xml: string): boolean {
  return taxonomyOf(xml) !== undefined;
}

/** The modules and intents that `label` offers. */
export function labelsOf(xml: string): Map<string, Set<string>> {
  const labels = new Map<string, Set<string>>();
  for (const { values, choices } of taxonomyOf(xml)?.choices ?? []) {
    const [module = ''] = values;
    labels.set(module, new Set([...(labels.get(module) ?? []), ...choices.map((one) => one.values[0] ?? '')]));
  }
  return labels;
}

/**
 * `xml` with these modules and intents added to `label`, or undefined when it already offers all of them or can't be
 * read. Existing choices stay, even those without traffic, because answers may use them.
 */
export function withLabels(xml: string, wanted: Labels): string | undefined {
  const taxonomy = taxonomyOf(xml);
  if (!taxonomy) return undefined;
  const edits: Edit[] = [];
  const fresh: string[] = [];
  for (const [module, intents] of wanted) {
    const found = taxonomy.choices.filter(({ values }) => values.includes(module));
    const known = new Set(found.flatMap(({ choices }) => choices.flatMap(({ values }) => values)));
    const missing = [...intents]
      .filter((intent) => !known.has(intent))
      .map((intent) => `<Choice value="${escape(intent)}" />`);
    const [first] = found;
    if (missing.length === 0) continue;
    if (first) edits.push(addition(xml, first, missing));
    else fresh.push(`<Choice value="${escape(module)}">`, ...missing.map((choice) => `  ${choice}`), '</Choice>');
  }
  if (fresh.length > 0) edits.push(addition(xml, taxonomy, fresh));
  if (edits.length === 0) return undefined;
  return edits
    .sort((a, b) => b.from - a.from)
    .reduce((text, { from, to, insert }) => text.slice(0, from) + insert + text.slice(to), xml);
}

interface Edit {
  readonly from: number;
  readonly to: number;
  readonly insert: string;
}

/** Adds `lines` as the last children of an element. */
function addition(xml: string, { name, start, end, close }: Element, lines: readonly string[]): Edit {
  const indented = (indent: string) => lines.map((line) => `${indent}  ${line}\n`).join('');
  const indentAt = (at: number) => /(?:^|\n)([ \t]*)$/.exec(xml.slice(0, at))?.[1];
  if (close === undefined) {
    const slash = xml.lastIndexOf('/', end);
    const indent = indentAt(start) ?? '';
    const from = xml.slice(0, slash).trimEnd().length;
    return { from, to: end, insert: `>\n${indented(indent)}${indent}</${name}>` };
  }
  const indent = indentAt(close);
  if (indent === undefined) return { from: close, to: close, insert: lines.map((line) => line.trim()).join('') };
  return { from: close - indent.length, to: close - indent.length, insert: indented(indent) };
}

/** An element of the configuration, with the positions of its tags in the text. */
interface Element {
  readonly name: string;
  /** Start of its opening tag. */
  readonly start: number;
  readonly end: number;
  /** Start of its closing tag; undefined for a self-closing element. */
  close: number | undefined;
  /** The names that an answer may use for it: its value, then its alias. */
  readonly values: readonly string[];
  readonly choices: Element[];
}

/**
 * A comment, a CDATA section, an instruction, or a tag: closing, name, attributes, self-closing. Quoted attributes may
 * contain `>`.
 */
const MARKUP =
  /<!--[\s\S]*?-->|<!\[CDATA\[[\s\S]*?\]\]>|<[?!][^>]*>|<(\/)?([A-Za-z_][\w:.-]*)((?:[^<>"']|"[^"]*"|'[^']*')*?)(\/)?>/g;

/** The control `label` with its choices; undefined unless it occurs exactly once and all tags match. */
function taxonomyOf(xml: string): Element | undefined {
  if (xml.replace(MARKUP, '').includes('<')) return undefined;
  const open: Element[] = [];
  const found: Element[] = [];
  for (const {
    0: { length },
    1: closing,
    2: name,
    3: attributes = '',
    4: single,
    index,
  } of xml.matchAll(MARKUP)) {
    if (name === undefined) continue;
    if (closing !== undefined) {
      const element = open.pop();
      if (element?.name !== name) return undefined;
      element.close = index;
      continue;
    }
    const values = ['value', 'alias'].flatMap((one) => attributeOf(attributes, one) ?? []);
    const element: Element = { name, start: index, end: index + length, close: undefined, values, choices: [] };
    if (name === 'Choice') open.at(-1)?.choices.push(element);
    if (name === 'Taxonomy' && attributeOf(attributes, 'name') === CONTROLS.label) found.push(element);
    if (single === undefined) open.push(element);
  }
  return open.length === 0 && found.length === 1 ? found[0] : undefined;
}

function attributeOf(attributes: string, name: string): string | undefined {
  for (const [, key, double, single] of attributes.matchAll(/([\w:.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g))
    if (key === name) return unescape(double ?? single ?? '');
  return undefined;
}

/** Escapes `text` for a quoted attribute. */
export function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}

const NAMED: Readonly<Record<string, string>> = { quot: '"', apos: "'", lt: '<', gt: '>', amp: '&' };

function unescape(text: string): string {
  return text.replaceAll(
    /&(?:(\w+)|#(\d+)|#x([\da-fA-F]+));/g,
    (whole, name?: string, decimal?: string, hex?: string) => {
      if (name !== undefined) return NAMED[name] ?? whole;
      const code = decimal === undefined ? parseInt(hex ?? '', 16) : Number(decimal);
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    },
  );
}
