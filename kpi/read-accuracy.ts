/**
 * Reads production accuracy from Postgres for a range of days: overall, and by version, predicted intent and language.
 */
import type { Pool } from 'pg';
import { BAND_EDGES, productionAccuracy } from '../policy/audit.ts';
import type { AuditCell, ProductionAccuracy } from '../policy/audit.ts';
import { addDays } from './day.ts';
import type { Day } from './day.ts';
import { readAgreement } from './read-agreement.ts';
import type { AgreementReport } from './read-agreement.ts';

/** The default range in days: long enough for answers to arrive, short enough to notice drift. */
export const ACCURACY_DAYS = 30;

/** The characters that equal texts may differ in: ASCII digits, punctuation and spaces. */
const UNLIKE = `0123456789!"#$%&'()*+,-./:;<=>?@[\\]^_\`{|}~ \t\n\r`;

/** The conversations to judge. */
export interface AccuracyRange {
  /** First and last day (UTC) of the conversations. */
  readonly from: Day;
  readonly to: Day;
  /** Only conversations that this version answered. */
  readonly version?: string;
}

/** A slice of the traffic. The intent is the predicted one, `module/intent`. */
export interface AccuracySlice extends ProductionAccuracy {
  readonly name: string;
}

/** How often the answers in production are right. */
export interface AccuracyReport extends AccuracyRange {
  readonly all: ProductionAccuracy;
  readonly versions: readonly AccuracySlice[];
  readonly intents: readonly AccuracySlice[];
  readonly languages: readonly AccuracySlice[];
  /** Agreement of two people on the same conversations, by the day of the second answer. */
  readonly agreement: AgreementReport;
}

/** The range of `ACCURACY_DAYS` that ends with `day`. */
export function accuracyRange(day: Day): AccuracyRange {
  return { from: addDays(day, 1 - ACCURACY_DAYS), to: day };
}

/** Reads the report. Slices with the most traffic come first. */
export async function readAccuracy(pool: Pick<Pool, 'query'>, range: AccuracyRange): Promise<AccuracyReport> {
  const slices = new Map<string, Map<string, AuditCell[]>>();
  for (const { kind, name, ...cell } of await readCells(pool, range)) {
    const ofKind = slices.get(kind) ?? new Map<string, AuditCell[]>();
    slices.set(kind, ofKind.set(name, [...(ofKind.get(name) ?? []), cell]));
  }
  const list = (kind: string): AccuracySlice[] =>
    [...(slices.get(kind) ?? [])]
      .map(([name, cells]) => ({ name, ...productionAccuracy(cells) }))
      .sort((a, b) => b.conversations - a.conversations || (a.name < b.name ? -1 : 1));
  return {
    ...range,
    all: productionAccuracy(slices.get('all')?.get('') ?? []),
    versions: list('version'),
    intents: list('intent'),
    languages: list('language'),
    agreement: await readAgreement(pool, range),
  };
}

interface NamedCell extends AuditCell {
  readonly kind: 'all' | 'version' | 'intent' | 'language';
  readonly name: string;
}

/**
 * Reads all cells in one pass over the traffic. The first CTE aggregates conversations that are equal in every column
 * asked for, so that the four slices are computed from few rows. Texts are grouped only where a person judged a
 * conversation on a review route: equal texts have the same hash without case, ASCII digits, punctuation and spaces.
 * `lower` and `translate` work in every locale of Postgres, but keep non-ASCII digits that `normalise` drops. Equal
 * texts count as one group over the whole range of days.
 */
async function readCells(pool: Pick<Pool, 'query'>, { from, to, version }: AccuracyRange): Promise<NamedCell[]> {
  const { rows } = await pool.query<NamedCell>(
    `WITH turns AS (
       SELECT CASE WHEN nlu_provider <> 'llm' THEN coalesce(model_version, '') ELSE '' END AS version,
              nlu_module || '/' || nlu_intent AS intent, language, route,
              coalesce(audit_propensity, 1) AS propensity,
              coalesce(width_bucket(nlu_confidence, $4::float8[]), 0) AS band,
              user_message, chosen,
              CASE WHEN NOT chosen OR verdict = 'skip' THEN NULL
                   WHEN verdict = 'reject' THEN 'unusable'
                   WHEN verdict = 'correct' AND (corrected_module, corrected_intent) IS DISTINCT FROM (nlu_module, nlu_intent) THEN 'wrong'
                   WHEN verdict IS NOT NULL THEN 'right' END AS judged
         FROM conversation_logs, LATERAL (SELECT route <> 'auto-approved' OR audit AS chosen) asked
        WHERE created_at >= $1::timestamp AT TIME ZONE 'UTC'
          AND created_at < ($2::date + 1)::timestamp AT TIME ZONE 'UTC'
          AND ($3::text IS NULL OR model_version = $3 AND nlu_provider <> 'llm')),
     alike AS (
       SELECT version, intent, language, route, propensity, band,
              CASE WHEN judged IN ('right', 'wrong') AND route <> 'auto-approved'
                   THEN md5(intent || E'\\n' || translate(lower(user_message), $5, ''))::uuid END AS text,
              count(*) AS conversations, count(*) FILTER (WHERE chosen) AS chosen,
              count(*) FILTER (WHERE judged = 'right') AS "right", count(*) FILTER (WHERE judged = 'wrong') AS wrong,
              count(*) FILTER (WHERE judged = 'unusable') AS unusable
         FROM turns
        GROUP BY 1, 2, 3, 4, 5, 6, 7),
     groups AS (
       SELECT CASE WHEN grouping(version) = 0 THEN 'version' WHEN grouping(intent) = 0 THEN 'intent'
                   WHEN grouping(language) = 0 THEN 'language' ELSE 'all' END AS kind,
              coalesce(version, intent, language, '') AS name,
              route, propensity, band, text,
              sum(conversations) AS conversations, sum(chosen) AS chosen, sum("right") AS "right", sum(wrong) AS wrong, sum(unusable) AS unusable
         FROM alike
        GROUP BY route, propensity, band, text, GROUPING SETS ((), (version), (intent), (language)))
     SELECT kind, name, route, propensity, band, sum(conversations)::int AS conversations, sum(chosen)::int AS chosen,
            sum("right")::int AS "right", sum(wrong)::int AS wrong, sum(unusable)::int AS unusable,
            sum(CASE WHEN text IS NULL THEN "right" + wrong ELSE ("right" + wrong) ^ 2 END)::float8 AS squares
       FROM groups
      GROUP BY kind, name, route, propensity, band
      ORDER BY kind, name, route, propensity, band`,
    [from, to, version ?? null, BAND_EDGES, UNLIKE],
  );
  return rows.filter(({ kind, name }) => kind === 'all' || name !== '');
}
