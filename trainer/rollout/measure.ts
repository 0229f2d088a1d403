/** Writes production accuracy to the model log; its projection shows it as `model_versions.production_accuracy`. */
import type { AccuracyReport, AccuracySlice } from '../../kpi/read-accuracy.ts';
import { productionAccuracy } from '../../policy/audit.ts';
import { measuredEvent } from '../../policy/model-log.ts';
import type { ModelLog } from '../../policy/model-log.ts';
import type { ModelEvent } from '../../schemas/types.ts';
import type { ModelLogPort } from '../model-log.ts';

/** The parts of a report that are noted. */
type Measured = Pick<AccuracyReport, 'from' | 'to' | 'versions'>;

/**
 * Notes the corrected accuracy of each version in the report. For a version with traffic it notes null when the
 * accuracy can no longer be told, for example because no conversation names the version. Unchanged figures are not
 * noted again. Returns the versions whose figure has changed.
 */
export async function recordAccuracy(
  log: ModelLogPort,
  report: Measured,
  act: { readonly by: string; readonly at: number },
): Promise<readonly string[]> {
  let recorded: readonly string[] = [];
  await log.append((now) => {
    const named = new Set(report.versions.map(({ name }) => name));
    const unnamed = [...now.models.keys()].filter((name) => !named.has(name));
    const slices = [...report.versions, ...unnamed.map((name) => ({ name, ...productionAccuracy([]) }))];
    const events = slices.flatMap((slice) => eventOf(now, report, slice, act) ?? []);
    recorded = events.map(({ version }) => version);
    return { models: events };
  });
  return recorded;
}

function eventOf(
  log: ModelLog,
  { from, to }: Measured,
  { name, corrected, interval: [low, high], naive, answers }: AccuracySlice,
  act: { readonly by: string; readonly at: number },
): ModelEvent | undefined {
  const known = log.models.get(name)?.standing;
  if (!known || known.production_accuracy === corrected) return undefined;
  // The window holds ever fewer conversations of a retired version; its last figure stays.
  if (corrected === null && known.traffic_percentage === 0) return undefined;
  return measuredEvent(log, name, corrected, { answers, low, high, naive, from_day: from, to_day: to }, act);
}
