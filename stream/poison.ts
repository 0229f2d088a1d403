/**
 * A record that can't be processed now or ever: bad bytes or a broken rule. The runner writes it to the dead letters
 * in the same transaction and goes on.
 */
export class Poison extends Error {
  /** Stable code, listed in docs/dead-letters.md. */
  readonly code: string;
  /** Whether its dead letter holds no value, because nothing of it may be kept. */
  readonly withhold: boolean;

  constructor(code: string, message: string, { withhold = false }: { readonly withhold?: boolean } = {}) {
    super(message);
    this.code = code;
    this.withhold = withhold;
  }
}
