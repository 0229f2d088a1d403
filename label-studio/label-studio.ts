/**
 * The service synchronises at its start, after a hint from a webhook, and at least every minute. Any number of copies
 * may run; one leads. While Label Studio does not answer, it retries at growing intervals and logs each failure.
 */
import type { LabelStudioConfig } from '../config.ts';
import { leadingService } from '../runtime/leading-service.ts';
import type { ServiceContext } from '../runtime/service.ts';
import { topics } from '../topology.ts';
import { labelStudioApi } from './api.ts';
import { hearHints } from './hint.ts';
import { connectHttp, LabelStudioError } from './http.ts';
import { openReviewSender } from './review-sender.ts';
import { synchronise } from './sync.ts';
import type { SyncContext, SyncReport } from './sync.ts';

const FIRST_BACKOFF_MS = 1000;
const MAX_BACKOFF_MS = 60_000;

/** The service. */
export const labelStudio = leadingService({
  name: 'label-studio',
  does: 'pushes the waiting queue to Label Studio, if one is configured, and fetches the answers',
  access: { reads: [topics.modelEvents], writes: [topics.reviews], transactionalIds: [] },
  topic: topics.modelEvents.name, // the copies elect a leader on its single partition
  counters: ['syncs', 'failures', 'reviews', 'pushed', 'closed', 'open'],
  idle: (config) => config.labelStudio === undefined,
  progress: ({ syncs }) => syncs,
  lead,
});

/** What a sync needs, built from the context of a component or a command. */
export function openSync(
  { kafka, codecs, pool, log }: Pick<ServiceContext, 'kafka' | 'codecs' | 'pool' | 'log'>,
  config: LabelStudioConfig,
): SyncContext {
  return { config, api: labelStudioApi(connectHttp(config)), pool, reviews: openReviewSender(kafka, codecs), log };
}

/** Runs one full synchronisation and returns its result as a sentence, for a scheduled job. */
export async function syncInWords(
  context: Pick<ServiceContext, 'config' | 'kafka' | 'codecs' | 'pool' | 'log'>,
): Promise<string> {
  const config = context.config.labelStudio;
  if (!config) return 'Not configured; everything else works without it.';
  const sync = openSync(context, config);
  const { pushed, closed, reviews, open } = await synchronise(sync, { full: true }).finally(() => sync.reviews.close());
  return `${reviews} answers fetched, ${pushed} tasks pushed, ${closed} taken out; ${open} wait there.`;
}

type Stats = Record<'syncs' | 'failures' | 'reviews' | 'pushed' | 'closed' | 'open', number>;

/** Works until the signal aborts. Hints come over a connection to Postgres; when it breaks, the session ends. */
async function lead(context: ServiceContext, signal: AbortSignal, stats: Stats): Promise<void> {
  const config = context.config.labelStudio;
  if (!config) return;
  const client = await context.pool.connect();
  const broken = new AbortController();
  client.on('error', (error) => broken.abort(error));
  const sync = openSync(context, config);
  try {
    const ends = AbortSignal.any([signal, broken.signal]);
    await keepInStep(sync, await hearHints(client, ends), ends, stats);
    if (broken.signal.aborted) throw broken.signal.reason;
  } finally {
    await sync.reviews.close();
    client.release(true); // closes the connection, which also ends LISTEN
  }
}

async function keepInStep(
  sync: SyncContext,
  hintWithin: (milliseconds: number) => Promise<void>,
  ends: AbortSignal,
  stats: Stats,
): Promise<void> {
  let backoff = 0;
  let full = true; // changes before the start were not seen, and some do not show in `updated_at`
  while (!ends.aborted) {
    try {
      const report = await synchronise(sync, { full });
      count(stats, report);
      tell(sync, report, backoff > 0);
      [full, backoff] = [false, 0];
    } catch (error) {
      if (!(error instanceof LabelStudioError)) throw error;
      stats.failures++;
      backoff = Math.min(Math.max(backoff * 2, FIRST_BACKOFF_MS), MAX_BACKOFF_MS);
      sync.log.warn({ error: error.message, backoff }, 'Label Studio was not synchronised; everything else goes on');
    }
    await hintWithin(backoff > 0 ? backoff : sync.config.syncSeconds * 1000);
  }
}

function count(stats: Stats, { reviews, pushed, closed, open }: SyncReport): void {
  stats.syncs++;
  stats.reviews += reviews;
  stats.pushed += pushed;
  stats.closed += closed;
  stats.open = open;
}

function tell({ log }: SyncContext, report: SyncReport, recovered: boolean): void {
  const { warnings, ...figures } = report;
  for (const warning of warnings) log.warn(warning);
  if (recovered) log.info(figures, 'Label Studio answers again');
  else if (report.pushed + report.closed + report.annotations + report.reviews > 0) log.info(figures, 'synchronised');
}
