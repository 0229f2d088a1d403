/** Which failures pass by themselves: a server is away, refuses for now, or another process was faster. */
import { Fenced } from './projection-store.ts';
import { Transient } from './rdkafka.ts';
import { RegistryUnavailable } from './schema-registry.ts';
import { TopicMismatch } from './topics.ts';

/**
 * SQLSTATE classes that say nothing about a statement: connection, credentials, no such database, rollback, resources,
 * operator intervention and system errors; a server that became read-only because another one took over from it; a transaction
 * that was ended because nothing came from this process for long; and a lock that another one has held for long.
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const PASSING_SQLSTATE = /^((08|28|3D|40|53|57|58)...|25006|25P03|55P03)$/;
const NETWORK =
  /^(ECONN(REFUSED|RESET|ABORTED)|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EPIPE|E(HOST|NET)(UNREACH|DOWN)|EADDRNOTAVAIL)$/;

/**
 * Whether trying again may help. Wrong credentials and unknown host names are among these: a person mends them outside
 * of the process, and the log has the reason of each attempt.
 */
export function mayPass(error: unknown): boolean {
  if (error instanceof TopicMismatch) return false;
  if ([Transient, Fenced, RegistryUnavailable].some((kind) => error instanceof kind)) return true;
  return error instanceof Error && (fromKafka(error) || fromPostgres(error));
}

/** kafkajs names its errors; node-rdkafka's have an origin, but for calls on a client that has gone down. */
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
