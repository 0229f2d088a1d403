/**
 * A record that can never be processed: bad bytes or a broken rule. The runner writes it to the dead letters in the same transaction and
 * continues.
 */
export class Poison extends Error {
  /** Stable code, listed in docs/dead-letters.md. */
  readonly code: string;
  /** Whether its dead letter leaves out the value, because it must not be kept. */
  readonly withhold: boolean;

  constructor(code: string, message: string, { withhold = false }: { readonly withhold?: boolean } = {}) {
    super(message);
    this.code = code;
    this.withhold = withhold;
  }
}
