/**
 * The labelling configuration: the XML that tells Label Studio what to show and to ask. Only the choices of one control are
 * read and written here; everything else stays as its author wrote it.
 */
import path from 'node:path';
import type { Project } from './api.ts';

/** Names in the configuration, by which answers are read. */
export const CONTROLS = { message: 'message', label: 'label', use: 'use' } as const;

/** Module → its intents. */
export type Labels = ReadonlyMap<string, ReadonlySet<string>>;

/** The labelling configuration of the repository. */
export const CONFIG_FILE = path.join(import.meta.dirname, '..', 'label-studio-config.xml');

const TAXONOMY = /(<Taxonomy\b[^>]*\bname="label"[^>]*?)(?:\/>|>([\s\S]*?)<\/Taxonomy>)/;

/** What keeps answers of a project from being read, as sentences; empty when nothing does. */
export function configProblems({ parsed_label_config: controls }: Pick<Project, 'parsed_label_config'>): string[] {
  const label = controls[CONTROLS.label];
  const use = controls[CONTROLS.use];
  return [
    ...(label?.type !== 'Taxonomy' ? ['it has no <Taxonomy name="label">'] : []),
    ...(label && !label.to_name.includes(CONTROLS.message) ? ['`label` is not about <Text name="message">'] : []),
    ...(use && use.type !== 'Choices' ? ['its control `use` is not <Choices>'] : []),
  ];
}

/** Whether nobody has configured the project yet: Label Studio creates projects with an empty view. */
export function isUnconfigured({ label_config, parsed_label_config }: Project): boolean {
  return Object.keys(parsed_label_config).length === 0 && !/<(Text|Taxonomy|Choices)\b/.test(label_config ?? '');
}

/** The modules and intents that `label` offers. */
export function labelsOf(xml: string): Map<string, Set<string>> {
  const labels = new Map<string, Set<string>>();
  let module: string | undefined;
  for (const [, closing, attributes = '', single] of (TAXONOMY.exec(xml)?.[2] ?? '').matchAll(
    /<(\/)?Choice\b((?:[^">]|"[^"]*")*?)(\/)?>/g,
  )) {
    const value = unescape(/\bvalue="([^"]*)"/.exec(attributes)?.[1] ?? '');
    if (closing !== undefined) module = undefined;
    else if (module === undefined) {
      labels.set(value, labels.get(value) ?? new Set());
      if (single === undefined) module = value;
    } else labels.get(module)?.add(value);
  }
  return labels;
}

/**
 * `xml` with these modules and intents added to `label`, or undefined when it offers them all already. Choices that are there
 * stay, whether or not traffic still brings them: answers may use them.
 */
export function withLabels(xml: string, wanted: Labels): string | undefined {
  const labels = labelsOf(xml);
  let missing = false;
  for (const [module, intents] of wanted) {
    const known = labels.get(module) ?? new Set();
    labels.set(module, known);
    for (const intent of intents) {
      missing ||= !known.has(intent);
      known.add(intent);
    }
  }
  if (!missing) return undefined;
  const choices = [...labels].map(
    ([module, intents]) =>
      `    <Choice value="${escape(module)}">\n${[...intents]
        .map((intent) => `      <Choice value="${escape(intent)}" />\n`)
        .join('')}    </Choice>\n`,
  );
  return xml.replace(TAXONOMY, (_, head: string) => `${head.trimEnd()}>\n${choices.join('')}  </Taxonomy>`);
}

/** `text` within the quotes of an attribute. */
export function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}

function unescape(text: string): string {
  return text.replaceAll('&quot;', '"').replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
}
