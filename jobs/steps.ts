/** A job as a list of steps: what goes wrong in one is noted, and the others go on. */
import type { Logger } from 'pino';

/** A step of a job. */
export interface Step {
  readonly name: string;
  /** Returns a sentence that says what was done. What it throws is the failure. */
  readonly run: () => Promise<string>;
}

/** What became of a step. */
export interface StepResult {
  readonly name: string;
  readonly outcome: 'done' | 'failed';
  readonly detail: string;
}

/** Runs every step, in order. */
export async function runSteps(steps: readonly Step[], log: Logger): Promise<readonly StepResult[]> {
  const results: StepResult[] = [];
  for (const { name, run } of steps) {
    try {
      const detail = await run();
      log.info({ step: name, detail }, 'step done');
      results.push({ name, outcome: 'done', detail });
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      log.error({ step: name, error: detail }, 'step failed, the others go on');
      results.push({ name, outcome: 'failed', detail });
    }
  }
  return results;
}
