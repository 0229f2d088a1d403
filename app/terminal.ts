/** Terminal output: results, progress, tables, bars. */
import { styleText } from 'node:util';

/** A command that can't be carried out as given. The message tells the user why. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Exit code of a command whose request is in the log but not carried out yet; 1 is a failure. */
export const NOT_YET = 2;

/** `text` in a style, when the terminal supports it. */
export function style(format: Parameters<typeof styleText>[0], text: string): string {
  return process.stdout.isTTY && process.stdout.hasColors() ? styleText(format, text) : text;
}

/** Text from outside with visible control characters, so that it can't control the terminal; line breaks stay. */
export function plain(text: string): string {
  return text.replace(/[^\P{Cc}\n]/gu, (control) => {
    const code = control.charCodeAt(0);
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : '\ufffd';
  });
}

/** Prints the result of a command: `value` as JSON when `json` is set, otherwise `text`. */
export function print(json: boolean | undefined, value: unknown, text: string, indent?: number): void {
  printText(json === true ? JSON.stringify(value, undefined, indent) : text);
}

/** Prints a line, or several, to standard output. */
export function printText(text: string): void {
  liveLine('');
  process.stdout.write(`${text}\n`);
}

/** Prints a line of progress to standard error, so that standard output stays data. */
export function progress(message: string): void {
  liveLine('');
  process.stderr.write(`${message}\n`);
}

/** Columns of a terminal that does not tell its size. */
const USUAL_COLUMNS = 80;

/** Overwrites the status line of a terminal, and removes it when `message` is empty. Prints nothing elsewhere. */
export function liveLine(message: string): void {
  if (!process.stderr.isTTY) return;
  // One row only: the escape sequence clears the last row of a wrapped line and leaves the others.
  const row = message.replaceAll('\n', ' ').slice(0, (process.stderr.columns || USUAL_COLUMNS) - 1);
  process.stderr.write(`\r\u001b[2K${row}`);
}

/** Columns padded to equal width; numbers to the right. */
export function columns(rows: readonly (readonly (string | number)[])[]): string {
  const cells = rows.map((row) => row.map((cell) => (typeof cell === 'number' ? cell.toLocaleString('en-IN') : cell)));
  const widths = cells.reduce<number[]>((sizes, row) => row.map((cell, i) => Math.max(sizes[i] ?? 0, cell.length)), []);
  return cells
    .map((row, r) =>
      row
        .map((cell, i) =>
          typeof rows[r]?.[i] === 'number' ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0),
        )
        .join('  '),
    )
    .map((line) => `  ${line.trimEnd()}`)
    .join('\n');
}

/** A bar of up to `width` cells for a share of 0 to 1. */
export function bar(share: number, width = 30): string {
  return '█'.repeat(Math.round(share * width)).padEnd(width, '·');
}

/** Under npm one Ctrl-C arrives twice, from the terminal and from npm, within less than this time. */
const REPEATED_MS = 500;

/** Resolves at the first SIGINT, SIGTERM or SIGHUP. Another one, half a second later or more, ends the process at once. */
export function untilStopped(): Promise<void> {
  return new Promise((resolve) => {
    let askedAt: number | undefined;
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        if (askedAt !== undefined && performance.now() - askedAt > REPEATED_MS) process.exit(130);
        askedAt ??= performance.now();
        resolve();
      });
    }
  });
}
