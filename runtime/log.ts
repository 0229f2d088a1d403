/** The log of a process: JSON lines on standard error, without secrets. */
import { pino } from 'pino';
import type { DestinationStream, Logger } from 'pino';
import { traceIdOf } from '../stream/trace.ts';

/** Settings of a log. */
export interface LogOptions {
  readonly level: string;
  /** Values that must not appear, wherever they come from. */
  readonly secrets?: readonly string[];
  /** Where lines go; standard error when absent. */
  readonly destination?: DestinationStream;
}

/** Patterns of secrets, wherever they appear: API tokens, authorization headers, passwords in addresses. */
const PATTERNS: readonly (readonly [RegExp, string])[] = [
  [/smv_[\w-]{43}/g, 'smv_…'],
  [/\b(Bearer|Basic|Token) +[\w.~+/=-]{8,}/gi, '$1 …'],
  [/(:\/\/[^\s:/@"]*):[^\s/@"]+@/g, '$1:…@'],
];

/** Opens the log. Each finished line is searched for secrets, so none can slip in through an error's message. */
export function openLog({ level, secrets = [], destination = process.stderr }: LogOptions): Logger {
  // Masking a secret of a few letters would mask half the log and hide nothing.
  const hidden = secrets
    .filter((secret) => secret.length >= 6)
    .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)]);
  return pino({ level, base: null, hooks: { streamWrite: (line) => withoutSecrets(line, hidden) } }, destination);
}

/** The field by which the lines about one conversation are found. */
export function traceFields(traceparent: string | null | undefined): { readonly trace_id?: string } {
  return traceparent == null ? {} : { trace_id: traceIdOf(traceparent) };
}

/** The secrets in a configuration: every string whose name says that it is secret, and passwords in addresses. */
export function secretsOf(config: unknown, name = ''): string[] {
  if (typeof config === 'string') {
    if (/password|secret|token|key/i.test(name)) return [config];
    const password = URL.canParse(config) ? new URL(config).password : '';
    return password === '' ? [] : [password, decoded(password)];
  }
  if (typeof config !== 'object' || config === null) return [];
  return Object.entries(config).flatMap(([key, value]) => secretsOf(value, key));
}

/** A password with a bare `%` is not encoded; the Postgres client uses it as it is. */
function decoded(password: string): string {
  try {
    return decodeURIComponent(password);
  } catch {
    return password;
  }
}

function withoutSecrets(line: string, hidden: readonly string[]): string {
  let clean = line;
  for (const [pattern, shown] of PATTERNS) clean = clean.replace(pattern, shown);
  for (const secret of hidden) clean = clean.replaceAll(secret, '…');
  return clean;
}
