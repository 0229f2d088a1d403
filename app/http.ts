/** The HTTP API of this process: accepts traffic and reports the state of the pipeline. */
import type { Config } from '../config.ts';
import { isLoopback } from '../http/access.ts';
import { createServer, createWaitingServer } from '../http/server.ts';
import { parseTokens } from '../http/tokens.ts';
import type { ApiToken } from '../http/tokens.ts';
import { giveHint } from '../label-studio/hint.ts';
import { readStanding } from '../label-studio/store.ts';
import { createConversationProducer } from '../producers/conversation-producer.ts';
import type { ConversationProducer } from '../producers/conversation-producer.ts';
import { DeadLetterIndex } from '../runtime/dead-letters.ts';
import { openPool } from '../runtime/postgres-pool.ts';
import { approvalsReader } from './approvals.ts';
import type { RunningComponents } from './components.ts';
import { deadLetterLog, deadLettersOf } from './dead-letters.ts';
import { describePipeline } from './describe-pipeline.ts';
import { artifactsOf, producerOptions } from './environment.ts';
import type { Prepared } from './environment.ts';
import { openFront } from './front.ts';
import { readLag } from './lag.ts';
import { liveReader } from './live.ts';
import { readinessOf } from './readiness.ts';
import { startServing } from './serving.ts';
import type { Serving } from './serving.ts';
import { onStandBy } from './stand-by.ts';
import type { StandBy } from './stand-by.ts';
import { readSummary } from './summary.ts';
import { UsageError } from './terminal.ts';

/** Time limit of other statements, so that a caller gets an error when Postgres hangs. */
const STATEMENT_MS = 10_000;
/** Reads that may scan large tables: at most this many at a time, each with this time limit. */
const SCANS = 3;
const SCAN_MS = 10_000;
/** Lookups by primary key for incoming traffic: at most this many at a time. After the time limit, traffic continues without the result. */
const LOOKUPS = 3;
const LOOKUP_MS = 300;

/** A server that listens. */
export interface RunningHttp {
  /** For example http://127.0.0.1:8080 */
  readonly url: string;
  /** Answers requests in progress, sends accepted records, and closes. */
  stop(): Promise<void>;
}

/**
 * Listens on the configured address at once. During the start it accepts traffic into the spool, classifies texts as soon as the log is
 * open, and answers all other requests with 503 and the reason.
 * @throws UsageError when the port is taken.
 */
export async function startHttp(ground: Prepared | StandBy, components: RunningComponents): Promise<RunningHttp> {
  const standBy = onStandBy(ground);
  const tokens = tokensOf(standBy.config);
  const producer = await createConversationProducer({
    ...producerOptions(standBy),
    ready: standBy.openLog.done, // by then the spool is known to belong to this cluster
  });
  const waiting = {
    producer,
    tracing: standBy.tracing,
    tokens,
    log: standBy.log.child({ component: 'http' }),
    readiness: () => Promise.resolve(readinessOf(standBy, components)),
    why: () => standBy.waiting() ?? 'It starts.',
  };
  const front = await openFront(
    { ...standBy.config.http, variable: 'SAMVAD_HTTP_PORT' },
    createWaitingServer(waiting),
  ).catch(async (error: unknown) => {
    await producer.close();
    throw error;
  });
  let serving: Serving | undefined;
  let api: ReturnType<typeof openApi> | undefined;
  const opened = standBy.openLog.done.then(async (codecs) => {
    serving = startServing({ ...standBy, codecs });
    await front.serve(createWaitingServer({ ...waiting, serving: { ...serving, tracing: standBy.tracing } }));
    api = openApi(standBy, await standBy.prepared, components, producer, serving, tokens);
    await front.serve(api.server);
  });
  if ('openLog' in ground)
    opened.catch(() => undefined); // awaiting `prepared` reports it; a component meets the same failure and ends the process
  else await opened;
  return {
    url: front.url,
    async stop() {
      await front.close();
      await api?.stop();
      await serving?.stop();
      await producer.close();
    },
  };
}

/** The complete API, once all servers are ready. */
function openApi(
  standBy: StandBy,
  prepared: Prepared,
  components: RunningComponents,
  producer: ConversationProducer,
  serving: Serving,
  tokens: readonly ApiToken[],
) {
  const { servers, log } = prepared;
  const pool = openPool(servers.databaseUrl, { statementTimeoutMs: STATEMENT_MS });
  const scans = openPool(servers.databaseUrl, { max: SCANS, statementTimeoutMs: SCAN_MS });
  const lookups = openPool(servers.databaseUrl, { max: LOOKUPS, statementTimeoutMs: LOOKUP_MS });
  const approvals = approvalsReader(prepared);
  const deadLetters = deadLetterLog(prepared);
  const index = new DeadLetterIndex(deadLetters);
  const server = createServer({
    producer,
    tracing: prepared.tracing,
    pool,
    scans,
    lookups,
    classifier: serving.classifier,
    policy: serving.policy,
    models: serving.models,
    artifacts: artifactsOf(prepared.config),
    training: { threshold: prepared.config.training.threshold, approvals: () => approvals.read() },
    tokens,
    log: log.child({ component: 'http' }),
    readiness: () => Promise.resolve({ ...readinessOf(standBy, components), models: serving.classifier.readiness() }),
    labelStudio: {
      webhookSecret: standBy.config.labelStudio?.webhookSecret,
      hint: () => giveHint(pool),
      standing: async () => ({ configured: standBy.config.labelStudio !== undefined, ...(await readStanding(pool)) }),
    },
    live: liveReader(servers, index, pool),
    topology: describePipeline(),
    policies: { servers, codecs: prepared.codecs, pool },
    deadLetters: deadLettersOf(deadLetters, index),
    status: async () => ({
      lag: await readLag(servers, pool),
      ...(await readSummary(pool)),
      serving: { refused: serving.classifier.refused() },
      components: components.stats(),
      producer: producer.stats(),
    }),
  });
  return {
    server,
    async stop() {
      await approvals.close();
      await pool.end();
      await scans.end();
      await lookups.end();
    },
  };
}

/**
 * The tokens that the server accepts; with none it is open to this machine.
 * @throws UsageError when other machines could reach it without a token.
 */
function tokensOf({ http: { host, tokens } }: Config): readonly ApiToken[] {
  if (tokens !== undefined) return parseTokens(tokens);
  if (isLoopback(host)) return [];
  throw new UsageError(
    `SAMVAD_HTTP_HOST is ${host}, where other machines reach the server, and there are no tokens. Make one with ` +
      '`samvad token new NAME ROLES --file FILE` and set SAMVAD_API_TOKENS to the file, or listen on 127.0.0.1.',
  );
}
