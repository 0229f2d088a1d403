/** Which failures are temporary: a server is away or refuses for now, or another process was faster. */
import { Fenced } from './projection-store.ts';
import { Transient } from './rdkafka.ts';
import { RegistryUnavailable } from './schema-registry.ts';
import { TopicMismatch } from './topics.ts';

/**
 * SQLSTATE classes that say nothing about a statement: connection, credentials, no such database, rollback, resources,
 * operator intervention and system errors; a server that became read-only in a fail-over; a transaction that was idle for too long;
 * and a lock that was not available in time.
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const PASSING_SQLSTATE = /^((08|28|3D|40|53|57|58)...|25006|25P03|55P03)$/;
const NETWORK =
  /^(ECONN(REFUSED|RESET|ABORTED)|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EPIPE|E(HOST|NET)(UNREACH|DOWN)|EADDRNOTAVAIL)$/;

/**
 * Whether trying again may help. That includes wrong credentials and unknown host names: an operator corrects them outside the process,
 * and the log has the reason of each attempt.
 */
export function mayPass(error: unknown): boolean {
  if (error instanceof TopicMismatch) return false;
  if ([Transient, Fenced, RegistryUnavailable].some((kind) => error instanceof kind)) return true;
  return error instanceof Error && (fromKafka(error) || fromPostgres(error));
}

/** kafkajs names its errors. node-rdkafka's errors have an origin, except after calls on a closed client. */
function fromKafka(error: Error): boolean {
  return (
    error.name.startsWith('KafkaJS') ||
    'origin' in error ||
    /^(Producer|KafkaConsumer|Client) (is|not) /.test(error.message)
  );
}

function fromPostgres(error: Error): boolean {
  const code = 'code' in error ? String(error.code) : '';
  return PASSING_SQLSTATE.test(code) || NETWORK.test(code) || /connection|terminated|timeout/i.test(error.message);
}
