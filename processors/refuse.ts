import type { Problem } from '../policy/validation.ts';
import { Poison } from '../stream/poison.ts';

/** Makes poison of a record that breaks a rule. @throws Poison `invalid-value`, with a sentence for each problem. */
export function refuse(problems: readonly Problem[]): void {
  if (problems.length > 0)
    throw new Poison('invalid-value', problems.map(({ field, message }) => `${field}: ${message}`).join(' '));
}
