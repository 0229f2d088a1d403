/**
 * Parsers of option values, and of files. What a parser of option values refuses, commander reports with the option and the value, and ends
 * the process.
 */
import { readFile } from 'node:fs/promises';
import { InvalidArgumentError } from 'commander';
import { UsageError } from '../app/terminal.ts';
import { isDay } from '../kpi/day.ts';
import type { Day } from '../kpi/day.ts';
import { timestamp } from '../producers/inputs.ts';
import { reasonOf } from '../runtime/reason.ts';

/** A whole number from `least` to `most`. */
function wholeFrom(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number ${range}.`);
  };
}

/** A whole number, which may be 0. */
export const whole = wholeFrom(0);

/** A whole number that is not 0. */
export const count = wholeFrom(1);

/** A share of the traffic in percent: a whole number from 1 to 100. */
export const percentage = wholeFrom(1, 100);

/** A number above 0. */
export function positive(text: string): number {
  const value = Number(text);
  if (value > 0) return value;
  throw new InvalidArgumentError('It must be a number above 0.');
}

/** A share, 0 to 1. */
export function share(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= 0 && value <= 1) return value;
  throw new InvalidArgumentError('It must be a number from 0 to 1.');
}

/** A time in RFC 3339, or a day, which begins at 0:00 UTC. */
export function time(text: string): Date {
  if (isDay(text)) return new Date(text);
  const read = timestamp.safeParse(text);
  if (read.success) return new Date(read.data);
  throw new InvalidArgumentError('It must be a time such as 2026-11-01 or 2026-11-01T08:00:00Z.');
}

/** A day of UTC. */
export function day(text: string): Day {
  if (isDay(text)) return text;
  throw new InvalidArgumentError('It must be a day such as 2026-11-25.');
}

/** The JSON in a file. @throws UsageError naming the file. */
export async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse((await readFile(file, 'utf8')).replace(/^\uFEFF/, '')) as unknown; // a byte order mark, as Windows writes it
  } catch (cause) {
    throw new UsageError(`${file} can't be read as JSON: ${reasonOf(cause)}.`);
  }
}
