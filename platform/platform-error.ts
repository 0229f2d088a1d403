/** A failure of the embedded servers that a person can act on: the message is complete without a stack trace. */
export class PlatformError extends Error {
  override readonly name = 'PlatformError';
}

/** The sentence part that names the two ways on when a program is missing. */
export function twoWaysOn(install: string): string {
  return `install it (for example \`${install}\`), or point Samvad at servers of your own with KAFKA_BROKERS, SCHEMA_REGISTRY_URL and DATABASE_URL`;
}
