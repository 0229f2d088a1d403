/**
 * A record that can't be processed now or ever: bad bytes or a broken rule. The runner writes it to the dead letters
 * in the same transaction and goes on.
 */
export class Poison extends Error {
  /** Stable code, listed in docs/dead-letters.md. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}
