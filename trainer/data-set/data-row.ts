/** A row of a data set: one approved sample, in the form that all exports and all training use. */
import type { Entity, SampleApproved } from '../../schemas/types.ts';

/** A labelled text. All strings are in Unicode's composed form (NFC). */
export interface DataRow {
  /** Event time of the label, and when the user wrote the text, RFC 3339. */
  readonly approved_at: string;
  readonly captured_at: string;
  /** The model's confidence in its own prediction, 0 to 1; null without one. */
  readonly confidence: number | null;
  readonly conversation_id: string;
  /** Spans in UTF-16 code units of `text`. */
  readonly entities: readonly Entity[];
  readonly intent: string;
  readonly language: string;
  readonly module: string;
  readonly policy_version: string;
  readonly source: 'human' | 'auto';
  readonly text: string;
}

/** The row of a sample. */
export function rowOf(sample: SampleApproved): DataRow {
  const { text, confidence } = sample;
  return {
    approved_at: new Date(sample.approved_at).toISOString(),
    captured_at: new Date(sample.captured_at).toISOString(),
    confidence: confidence === null || Number.isNaN(confidence) ? null : confidence,
    conversation_id: sample.conversation_id,
    entities: sample.entities.map((entity) => composed(entity, text)),
    intent: sample.intent.normalize('NFC'),
    language: sample.language,
    module: sample.module.normalize('NFC'),
    policy_version: sample.policy_version,
    source: sample.source,
    text: text.normalize('NFC'),
  };
}

/**
 * NFC composition shortens a text, so spans move. A span that begins or ends inside a composed character is dropped.
 */
function composed({ name, value, start, end }: Entity, text: string): Entity {
  const entity = { name: name.normalize('NFC'), value: value.normalize('NFC'), start: null, end: null };
  if (start === null || end === null) return entity;
  const [before, inside, behind] = [text.slice(0, start), text.slice(start, end), text.slice(end)].map((part) =>
    part.normalize('NFC'),
  );
  if (before === undefined || inside === undefined || behind === undefined) return entity;
  if (before + inside + behind !== text.normalize('NFC')) return entity;
  return { ...entity, start: before.length, end: before.length + inside.length };
}

/** The canonical bytes of a row: fields in alphabetical order, one line. */
export function canonicalLine(row: DataRow): string {
  return `${JSON.stringify(row, (_, value: unknown) => sorted(value))}\n`;
}

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Filters of an export; an absent filter takes all. */
export interface Filters {
  readonly language?: string;
  readonly module?: string;
  /** Inclusive, 0 to 1. Rows without a confidence fail either bound. */
  readonly minConfidence?: number;
  readonly maxConfidence?: number;
  /** RFC 3339; `from` inclusive, `to` exclusive. */
  readonly from?: string;
  readonly to?: string;
}

/** Whether a row passes the filters. */
export function passes(row: DataRow, filters: Filters): boolean {
  const { language, module, minConfidence, maxConfidence, from, to } = filters;
  const time = Date.parse(row.captured_at);
  return (
    (language === undefined || row.language === language) &&
    (module === undefined || row.module === module) &&
    (minConfidence === undefined || (row.confidence !== null && row.confidence >= minConfidence)) &&
    (maxConfidence === undefined || (row.confidence !== null && row.confidence <= maxConfidence)) &&
    (from === undefined || time >= Date.parse(from)) &&
    (to === undefined || time < Date.parse(to))
  );
}
