/** Reads tasks and annotations, and notes what changed since the last scan. */
import { reviewProblems } from '../policy/validation.ts';
import { inTransaction } from '../runtime/postgres-pool.ts';
import type { ReviewSubmitted } from '../schemas/types.ts';
import type { Task } from './api.ts';
import { PAGE } from './api.ts';
import { changeOf, versionOf } from './annotation.ts';
import type { Counted } from './annotation.ts';
import { LabelStudioRefused } from './http.ts';
import type { ReadyProject } from './project.ts';
import {
  countedAt,
  enqueue,
  knownTasks,
  noteClosed,
  noteCounted,
  noteScan,
  noteTasks,
  shownOf,
  tasksIn,
} from './store.ts';
import type { KnownTask } from './store.ts';
import type { SyncContext } from './sync.ts';

/**
 * A scan for changes begins this long before the latest change seen: a change gets its time before it can be read, and
 * Label Studio's clock may be set back a little.
 */
const OVERLAP_MS = 2 * 60 * 1000;

/** The result of a scan. */
export interface Scanned {
  /** Versions of annotations that are newly counted. */
  readonly annotations: number;
  /** Sentences about annotations that can't be counted. */
  readonly problems: readonly string[];
}

type Names = (user: number | null) => string;

/** Scans all tasks, or those changed since the last scan. */
export async function scan(context: SyncContext, project: ReadyProject): Promise<Scanned> {
  const { api, pool } = context;
  const { known, labelStudioId, full } = project;
  const since = full || known.scannedTo === null ? undefined : Date.parse(known.scannedTo) - OVERLAP_MS;
  const seen = new Set<number>();
  const problems: string[] = [];
  let [annotations, after, latest] = [0, 0, ''];
  let names: Names | undefined;
  for (;;) {
    const tasks = await api.tasks(labelStudioId, {
      after,
      ...(since !== undefined && { changedAfter: new Date(since).toISOString() }),
    });
    if (tasks.some((task) => task.annotations.length > 0)) names ??= await reviewerNames(context);
    const page = await takeIn(context, project, tasks, names ?? String);
    annotations += page.annotations;
    problems.push(...page.problems);
    for (const { id, updated_at } of tasks) {
      seen.add(id);
      const version = versionOf(updated_at).text;
      if (version > latest) latest = version;
    }
    after = tasks.at(-1)?.id ?? after;
    if (tasks.length < PAGE) break;
  }
  if (full) await noteGone(context, known.id, seen);
  await noteScan(pool, known.id, latest === '' ? undefined : latest, full);
  return { annotations, problems };
}

/** Records one page of tasks in one transaction. */
async function takeIn(
  { api, pool, log }: SyncContext,
  { known, labelStudioId }: ReadyProject,
  tasks: readonly Task[],
  names: Names,
): Promise<{ annotations: number; problems: readonly string[] }> {
  const ours = tasks.flatMap((task) => {
    const { conversation_id } = task.data;
    return typeof conversation_id === 'string' ? [{ task, conversation_id }] : [];
  });
  const conversations = ours.map(({ conversation_id }) => conversation_id);
  const [shown, counted, rows] = [
    await shownOf(pool, known.id, conversations),
    await countedAt(
      pool,
      known.id,
      ours.map(({ task, conversation_id }) => ({ id: task.id, conversation_id })),
    ),
    await knownTasks(pool, known.id, conversations),
  ];
  const spare: number[] = [];
  const problems: string[] = [];
  const [stand, changed] = [new Map<string, KnownTask>(), [] as (Counted & { conversation_id: string })[]];
  const reviews = ours.flatMap(({ task, conversation_id }) => {
    const row = stand.get(conversation_id) ?? rows.get(conversation_id);
    const standing = standingOf(task, conversation_id, row);
    if (standing === 'spare') spare.push(task.id);
    else if (standing) stand.set(conversation_id, standing);
    const prediction = shown.get(conversation_id);
    if (!prediction) {
      if (task.annotations.length > 0)
        problems.push(
          `Task ${task.id} is about conversation ${conversation_id}, which is not known here; it is not counted.`,
        );
      return [];
    }
    const change = changeOf(task, { conversation_id, shown: prediction }, counted.get(task.id) ?? [], names);
    const invalid = invalidAmong(change.reviews);
    problems.push(...change.problems, ...[...invalid].map(([id, why]) => `Review ${id} is not sent: ${why}`));
    const sound = ({ review_id }: { readonly review_id: string | null }) => !invalid.has(review_id ?? '');
    changed.push(...change.counted.filter(sound).map((one) => ({ ...one, conversation_id })));
    return change.reviews.filter(sound);
  });
  await inTransaction(pool, async (client) => {
    await noteCounted(client, known.id, changed);
    await enqueue(client, reviews);
    await noteTasks(
      client,
      known.id,
      [...stand.values()].filter((task) => differs(task, rows.get(task.conversation_id))),
    );
  });
  if (spare.length > 0) {
    log.info({ tasks: spare }, 'tasks that were imported twice are deleted');
    await api.deleteTasks(labelStudioId, spare, 'untouched');
  }
  return { annotations: changed.filter(({ withdrawn }) => !withdrawn).length, problems };
}

/**
 * The reviews that intake would refuse, by id, with the reason. They are not counted, so a later full scan tries them
 * again.
 */
function invalidAmong(reviews: readonly ReviewSubmitted[]): ReadonlyMap<string, string> {
  const now = Date.now();
  return new Map(
    reviews.flatMap((review) => {
      const [problem] = reviewProblems(review, now);
      return problem ? [[review.review_id ?? '', `${problem.field}: ${problem.message}`] as const] : [];
    }),
  );
}

/**
 * The new state of a conversation with this task, after `row`. Two tasks come from two imports, when the first seemed
 * to have failed; one that no reviewer has touched is spare.
 */
function standingOf(task: Task, conversation_id: string, row: KnownTask | undefined): KnownTask | 'spare' | undefined {
  const empty = task.annotations.length === 0;
  const another = row?.label_studio_task_id != null && row.label_studio_task_id !== task.id && row.status !== 'closed';
  if (another && empty && !task.draft_exists) return 'spare';
  if (another && (empty || row.status === 'answered')) return undefined;
  return { conversation_id, label_studio_task_id: task.id, status: empty ? 'open' : 'answered' };
}

function differs(task: KnownTask, row: KnownTask | undefined): boolean {
  return row?.status !== task.status || row.label_studio_task_id !== task.label_studio_task_id;
}

/**
 * Notes tasks that a full scan did not find as gone. The labels of answered tasks stay, because people may tidy away
 * old tasks.
 */
async function noteGone({ pool }: SyncContext, project: number, seen: ReadonlySet<number>): Promise<void> {
  const rows = await tasksIn(pool, project, 'pushing', 'open', 'answered');
  await noteClosed(
    pool,
    project,
    rows.filter(({ label_studio_task_id: id }) => !seen.has(id ?? 0)),
  );
}

/** The reviewers' e-mail addresses, or their numbers if the token's user may not see the addresses. */
async function reviewerNames({ api, log }: SyncContext): Promise<Names> {
  const users = await api.users().catch((error: unknown) => {
    if (!(error instanceof LabelStudioRefused)) throw error;
    log.warn({ error: String(error) }, "reviewers' names can't be read, their numbers are used");
    return new Map<number, string>();
  });
  return (user) => (user === null ? 'label-studio' : (users.get(user) ?? `label-studio-user-${user}`));
}
