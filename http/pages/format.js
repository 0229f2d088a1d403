// @ts-check
/** Formats of figures on all pages. */

const whole = new Intl.NumberFormat('en-IN', { maximumFractionDigits: 0 });
const exact = new Intl.NumberFormat('en-IN', { maximumFractionDigits: 1 });

/** @param {number} value */
export const count = (value) => whole.format(value);

/** Records per second; below ten with one decimal. @param {number} value */
export const rate = (value) => (value === 0 ? '0' : value < 10 ? exact.format(value) : whole.format(value));

/** A share of 0 to 1 as percent; a dash for null. @param {number | null | undefined} value */
export const share = (value, digits = 1) => (value == null ? '–' : `${(100 * value).toFixed(digits)} %`);

/** A difference of two shares in percentage points, with its sign. @param {number} value */
export const signed = (value) => `${value > 0 ? '+' : ''}${(100 * value).toFixed(1)}`.replace('-', '−');

/** A moment in the browser's time zone; a dash for null. @param {string | number | null | undefined} at */
export const moment = (at) =>
  at == null ? '–' : new Date(at).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' });

/** How long ago, in the largest unit that fits. @param {string | number} at */
export function ago(at) {
  const seconds = Math.max(0, (Date.now() - new Date(at).getTime()) / 1000);
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h`;
  return `${whole.format(seconds / 86_400)} days`;
}

/** A value of a key figure. @param {number | null} value @param {string} unit */
export function figure(value, unit) {
  if (value === null) return '–';
  if (unit === 'share') return share(value);
  if (unit === 'points') return `${signed(value)} pts`;
  if (unit === 'hours') return `${exact.format(value)} h`;
  if (unit === 'days') return `${exact.format(value)} days`;
  return count(value);
}

/** A target as text. @param {{ min: number | null, max: number | null }} target @param {string} unit */
export function target({ min, max }, unit) {
  if (min !== null && max !== null) return `${figure(min, unit)} to ${figure(max, unit)}`;
  if (min !== null) return `at least ${figure(min, unit)}`;
  return max === null ? '' : `at most ${figure(max, unit)}`;
}

/** A status as a badge's class. @param {string} status */
export function tone(status) {
  if (['production', 'finished', 'approved', 'auto-approved', 'promote', 'success'].includes(status)) return 'good';
  if (['failed', 'rejected', 'rolled-back', 'reject', 'fail'].includes(status)) return 'bad';
  return ['canary', 'running', 'requested', 'needs-review', 'inconclusive'].includes(status) ? 'warn' : '';
}
