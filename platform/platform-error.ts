/** A failure of the embedded servers. The message tells the operator what to do. */
export class PlatformError extends Error {
  override readonly name = 'PlatformError';
}

/** The part of a sentence that names two remedies when a program is missing. */
export function twoWaysOn(install: string): string {
  return `install it (for example \`${install}\`), or point Samvad at servers of your own with KAFKA_BROKERS, SCHEMA_REGISTRY_URL and DATABASE_URL`;
}
