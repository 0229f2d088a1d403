/** The HTTP API of this process: takes traffic, and tells how the pipeline stands. */
import { createConversationProducer } from '../producers/conversation-producer.ts';
import { createServer } from '../status/server.ts';
import type { RunningComponents } from './components.ts';
import type { Prepared } from './environment.ts';
import { producerOptions } from './environment.ts';
import { readLag } from './lag.ts';
import { startServing } from './serving.ts';
import { readSummary } from './summary.ts';
import { UsageError } from './terminal.ts';

/** A server that listens. */
export interface RunningHttp {
  /** For example http://127.0.0.1:8080 */
  readonly url: string;
  /** Answers what is under way, sends what it took, and closes. */
  stop(): Promise<void>;
}

/**
 * Listens on the configured address.
 * @throws UsageError when the port is taken.
 */
export async function startHttp(prepared: Prepared, components: RunningComponents): Promise<RunningHttp> {
  const { config, servers, pool, log } = prepared;
  const producer = await createConversationProducer(producerOptions(prepared));
  const serving = startServing(prepared);
  const server = createServer({
    producer,
    pool,
    classifier: serving.classifier,
    policy: serving.policy,
    log: log.child({ component: 'http' }),
    async readiness() {
      const postgres = await pool.query('SELECT 1').then(
        () => 'ok',
        (error: unknown) => `Postgres does not answer: ${String(error)}`,
      );
      const idle = Object.entries(components.stats()).filter(([, { assigned }]) => assigned === 0);
      return {
        kafka: producer.stats().connected ? 'ok' : 'Kafka or the schema registry has not answered yet.',
        postgres,
        models: serving.classifier.readiness(),
        ...Object.fromEntries(Object.keys(components.stats()).map((name) => [name, 'ok'])),
        ...Object.fromEntries(idle.map(([name]) => [name, 'It has no partition yet.'])),
      };
    },
    status: async () => ({
      lag: await readLag(servers, pool),
      ...(await readSummary(pool)),
      serving: { refused: serving.classifier.refused() },
      components: components.stats(),
      producer: producer.stats(),
    }),
  });
  const { host, port } = config.http;
  try {
    const url = await server.listen({ host, port });
    return {
      url,
      async stop() {
        await server.close();
        await serving.stop();
        await producer.close();
      },
    };
  } catch (error) {
    await serving.stop();
    await producer.close();
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code !== 'EADDRINUSE' && code !== 'EACCES') throw error;
    const why = code === 'EADDRINUSE' ? 'is taken' : 'may not be used by this user';
    throw new UsageError(`Port ${String(port)} on ${host} ${why}; set SAMVAD_HTTP_PORT to another one, 0 for any.`);
  }
}
