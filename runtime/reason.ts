/** What went wrong, in one line for a person, without a full stop. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // `fetch` and the connections of several addresses of one name hide the reason one level down.
  if (error.message === 'fetch failed' && error.cause !== undefined) return reasonOf(error.cause);
  if (error.message === '' && error instanceof AggregateError) return reasonOf(error.errors[0]);
  if (error.name === 'KafkaJSAggregateError') return ofTopics((error as Error & RefusedTopics).errors);
  return `${(error.message || error.name).replace(/\.$/, '')}${adviceOn(error)}`;
}

/** What kafkajs throws where Kafka makes some of several topics not; its own message has neither their names nor why. */
interface RefusedTopics {
  readonly errors: readonly (Error & { readonly topic: string })[];
}

/** Each reason with the first topic that has it. */
function ofTopics(refused: RefusedTopics['errors']): string {
  const first = new Map([...refused].reverse().map((error) => [reasonOf(error), error.topic]));
  return [...first].map(([reason, topic]) => `${topic}: ${reason}`).join('; ');
}

/** Refusals of Kafka, in the words of its two clients, and where to mend them. */
const REFUSALS = [
  [/SASL|authentication fail/i, 'see KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM'],
  [/certificate/i, 'see KAFKA_TLS_CA_FILE'],
  [
    /Closed connection/,
    'it goes down, or it wants TLS or a user: see KAFKA_TLS, KAFKA_TLS_CA_FILE and KAFKA_SASL_USERNAME',
  ],
  [/replication.factor/i, 'see SAMVAD_REPLICATION'],
  [/authoriz/i, 'its user lacks a right; see docs/topics.md#least-rights and `samvad topology --acls`'],
] as const;

/** ` (what to look at)`, where Kafka refuses for a reason that a setting has; else nothing. */
export function adviceOn(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const { name, message } = error;
  if (!name.startsWith('KafkaJS') && !/: (Broker|Local): /.test(message)) return '';
  const found = REFUSALS.find(([words]) => words.test(`${name} ${message}`));
  return found ? ` (${found[1]})` : '';
}
