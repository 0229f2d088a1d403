/** The weekly job: asks for a training run when enough samples are unused. */
import type { ServiceContext } from '../runtime/service.ts';
import { askForRun, countUnused } from '../trainer/ask-for-run.ts';
import { openModelLog } from '../trainer/model-log.ts';

/** Asks for the run, which a trainer carries out. Returns a sentence that says what was done. */
export async function runWeekly(context: ServiceContext): Promise<string> {
  await context.untilPassed();
  const log = await openModelLog(context.kafka, context.codecs);
  try {
    const all = await countUnused(context, log);
    const wanted = context.config.training.weeklyMinimum;
    if (all.unused < wanted) return `${all.unused} approved samples are unused, and a run takes ${wanted}.`;
    const id = await askForRun(log, all, { trigger: 'weekly', fromScratch: false, by: 'scheduler' });
    return `Asked for the run ${id}.`;
  } finally {
    await log.close();
  }
}
