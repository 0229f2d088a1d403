/** A job as a list of steps. A failed step is recorded, and the others still run. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';

/** A step of a job. */
export interface Step {
  readonly name: string;
  /** Returns a sentence on what was done, and throws on failure. */
  readonly run: () => Promise<string>;
}

/** The outcome of a step. */
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

/**
 * Runs a job, and again after each of `waits` (milliseconds) while a step fails and `signal` is not aborted. Returns the steps of the last
 * run.
 */
export async function runAgain(
  run: () => Promise<readonly StepResult[]>,
  waits: readonly number[],
  signal: AbortSignal,
): Promise<readonly StepResult[]> {
  let steps = await run();
  for (const wait of waits) {
    if (failedIn(steps).length === 0) break;
    await sleep(wait, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) break;
    steps = await run();
  }
  return steps;
}

/** The names of the steps that failed. */
export function failedIn(steps: readonly StepResult[]): readonly string[] {
  return steps.flatMap(({ name, outcome }) => (outcome === 'failed' ? [name] : []));
}
