/** What went wrong, in one line for a person, without a full stop. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // `fetch`, and a connection to a name with several addresses, hide the reason one level down.
  if (/^(fetch failed|terminated)$/.test(error.message) && error.cause !== undefined) return reasonOf(error.cause);
  if (error.message === '' && error instanceof AggregateError) return reasonOf(error.errors[0]);
  if (error.name === 'KafkaJSAggregateError') return ofTopics((error as Error & RefusedTopics).errors);
  return `${(error.message || error.name).replace(/\.$/, '')}${adviceOn(error)}`;
}

/** Whatever was thrown, as an Error. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** Whether `error` has one of these codes, such as ENOENT from the operating system. */
export function isErrorCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}

/** What kafkajs throws when Kafka refuses to create some of several topics; the error's own message names neither topics nor reasons. */
interface RefusedTopics {
  readonly errors: readonly (Error & { readonly topic: string })[];
}

/** Each reason, with the first topic that was refused for it. */
function ofTopics(refused: RefusedTopics['errors']): string {
  const first = new Map([...refused].reverse().map((error) => [reasonOf(error), error.topic]));
  return [...first].map(([reason, topic]) => `${topic}: ${reason}`).join('; ');
}

/** Kafka's refusals, in the words of its two clients, and the settings to check. */
const REFUSALS = [
  [/SASL|authentication fail/i, 'see KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM'],
  [/certificate/i, 'see KAFKA_TLS_CA_FILE'],
  [
    /Closed connection/,
    'it is shutting down, or it requires TLS or a user: see KAFKA_TLS, KAFKA_TLS_CA_FILE and KAFKA_SASL_USERNAME',
  ],
  [/replication.factor/i, 'see SAMVAD_REPLICATION'],
  [/authoriz/i, 'its user lacks a right; see docs/topics.md#least-rights and `samvad topology --acls`'],
] as const;

/** ` (advice)` when Kafka refuses for a reason that a setting can change; otherwise an empty text. */
export function adviceOn(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const { name, message } = error;
  if (!name.startsWith('KafkaJS') && !/: (Broker|Local): /.test(message)) return '';
  const found = REFUSALS.find(([words]) => words.test(`${name} ${message}`));
  return found ? ` (${found[1]})` : '';
}
