/** Days of event time. A day is a UTC day everywhere: in tables, reports, key figures and the schedule. */

/** Milliseconds in a day. */
export const DAY_MS = 24 * 60 * 60 * 1000;

/** A day as text, such as `2026-11-25`. */
export type Day = string;

/** The day of a time in milliseconds since 1970. */
export function dayOf(time: number): Day {
  return new Date(time).toISOString().slice(0, 10);
}

/**
 * Whether `text` is a day that exists, from the year 2000 to 2999. It must leave room for the days around it that the figures use, whose
 * year must have four digits too, and Postgres knows no year 0.
 */
export function isDay(text: string): boolean {
  return /^2\d{3}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text)) && dayOf(Date.parse(text)) === text;
}

/** The day `days` later; earlier when negative. */
export function addDays(day: Day, days: number): Day {
  return dayOf(Date.parse(day) + days * DAY_MS);
}
