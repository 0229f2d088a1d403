/** The codes, each with a row in docs/dead-letters.md. */
export const poisonCodes = [
  'bad-frame',
  'unknown-schema',
  'unreadable-schema',
  'too-large',
  'bad-avro',
  'bad-utf8',
  'empty-record',
  'invalid-value',
  'conflicting-duplicate',
  'policy-version-used',
  'unknown-conversation',
  'too-many-reviews',
  'erased',
  'review-before-conversation',
] as const;

/** One of the codes. */
export type PoisonCode = (typeof poisonCodes)[number];

/**
 * A record that can never be processed: bad bytes or a broken rule. The runner writes it to the dead letters in the same transaction and
 * continues.
 */
export class Poison extends Error {
  readonly code: PoisonCode;
  /** Whether its dead letter leaves out the value, because it must not be kept. */
  readonly withhold: boolean;

  constructor(code: PoisonCode, message: string, { withhold = false }: { readonly withhold?: boolean } = {}) {
    super(message);
    this.code = code;
    this.withhold = withhold;
  }
}
