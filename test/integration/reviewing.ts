/** The pipeline on real servers, and HTTP servers for everything that reviewing requests. */
import type { Pool } from 'pg';
import { startComponents } from '../../app/components.ts';
import { deadLetterLog, deadLettersOf } from '../../app/dead-letters.ts';
import { artifactsOf, producerOptions } from '../../app/environment.ts';
import { untilCaughtUp } from '../../app/lag.ts';
import { createServer } from '../../http/server.ts';
import type { ApiToken } from '../../http/tokens.ts';
import { defaultPolicy } from '../../policy/routing.ts';
import { createConversationProducer } from '../../producers/conversation-producer.ts';
import type { ConversationInput, ConversationProducer } from '../../producers/conversation-producer.ts';
import { openPool } from '../../runtime/postgres-pool.ts';
import { startStack } from './stack.ts';
import type { Stack } from './stack.ts';

/** What `startReviewing` starts. */
export interface Reviewing {
  readonly stack: Stack;
  readonly producer: ConversationProducer;
  /** Creates a server as in `samvad up`, without what reviewing does not use. It sends through `through`. The caller closes it. */
  readonly server: (
    tokens?: readonly ApiToken[],
    scans?: Pick<Pool, 'query'>,
    through?: ConversationProducer,
  ) => ReturnType<typeof createServer>;
  /** Sends conversations that need a person unless `inputs` say otherwise, and waits until they are in the tables. */
  readonly capture: (inputs: readonly Partial<ConversationInput>[]) => Promise<void>;
  readonly caughtUp: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** Starts the servers, the pipeline and a producer. */
export async function startReviewing(): Promise<Reviewing> {
  const stack = await startStack();
  const { prepared } = stack;
  const failed = async (error: unknown) => {
    await stack.stop(); // it would keep the process of a failed test alive
    throw error;
  };
  const components = await startComponents(['pipeline'], prepared).catch(failed);
  const producer = await createConversationProducer(producerOptions(prepared)).catch(failed);
  const caughtUp = () => untilCaughtUp(prepared.servers, prepared.pool);
  const lookups = openPool(prepared.servers.databaseUrl, { max: 1, statementTimeoutMs: 2000 });
  const notAsked = () => Promise.reject(new Error('not asked'));
  return {
    stack,
    producer,
    server: (tokens = [], scans = prepared.pool, through = producer) =>
      createServer({
        tokens,
        labelStudio: { webhookSecret: undefined, hint: () => Promise.resolve(), standing: () => Promise.resolve({}) },
        producer: through,
        pool: prepared.pool,
        scans,
        lookups,
        readiness: () => Promise.resolve({}),
        status: () => Promise.resolve({}),
        classifier: { classify: () => Promise.resolve([]) },
        policy: () => defaultPolicy,
        models: () => undefined,
        artifacts: artifactsOf(prepared.config),
        training: { threshold: prepared.config.training.threshold, approvals: notAsked },
        live: notAsked,
        topology: {},
        policies: prepared,
        deadLetters: deadLettersOf(deadLetterLog(prepared)),
      }),
    async capture(inputs) {
      await Promise.all(
        inputs.map((input, i) =>
          producer.captureConversation({
            user_message: 'where is my order?',
            language: 'en',
            nlu_intent: 'track_order',
            nlu_module: 'food',
            nlu_confidence: 0.75,
            nlu_provider: 'indicbert',
            created_at: new Date(Date.UTC(2026, 9, 5, 9, 0, i)),
            ...input,
          }),
        ),
      );
      await caughtUp();
    },
    caughtUp,
    async stop() {
      await producer.close();
      await components.stop();
      await lookups.end();
      await stack.stop();
    },
  };
}
