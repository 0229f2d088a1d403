// @ts-check
/** Codes of the log in words, the same on every page. */
import { html } from '/assets/lit-html/lit-html.js';

/** @type {Record<string, string>} */
const REASONS = {
  'high-confidence': 'high confidence',
  'low-confidence': 'low confidence',
  'medium-confidence': 'medium confidence',
  'no-confidence': 'no confidence given',
  'llm-fallback': 'the language model had to answer',
  'untrusted-provider': 'from another provider',
  'failed-response': 'the user got no answer',
  'drawn-by-chance': 'chosen by chance',
};

/** The reason for a route, in words. @param {string} code */
export const reason = (code) => REASONS[code] ?? code;

/** @type {Record<string, string>} */
const ANSWERED = { approve: 'approved', correct: 'corrected', reject: 'rejected', skip: 'skipped' };

/** What a reviewer did, in words. @param {string} verdict */
export const answered = (verdict) => ANSWERED[verdict] ?? verdict;

/** Renders the parts between backticks as code, such as the commands in the advice on key figures. @param {string} text */
export const prose = (text) => text.split('`').map((part, i) => (i % 2 === 0 ? part : html`<code>${part}</code>`));
