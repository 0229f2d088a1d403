/** Days of event time. A day is a UTC day everywhere: in tables, reports, key figures and the schedule. */

/** Milliseconds in a day. */
export const DAY_MS = 24 * 60 * 60 * 1000;

/** A day as text, such as `2026-11-25`. */
export type Day = string;

/** The day of a time in milliseconds since 1970. */
export function dayOf(time: number): Day {
  return new Date(time).toISOString().slice(0, 10);
}

/** Whether `text` is a day that exists. */
export function isDay(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text)) && dayOf(Date.parse(text)) === text;
}

/** The day `days` later; earlier when negative. */
export function addDays(day: Day, days: number): Day {
  return dayOf(Date.parse(day) + days * DAY_MS);
}
