/**
 * Makes the project's tasks follow the review queue: removes tasks that were answered elsewhere, and pushes
 * conversations that wait.
 */
import type { NewTask } from './api.ts';
import { LabelStudioRefused } from './http.ts';
import type { ReadyProject } from './project.ts';
import {
  answeredElsewhere,
  erasedTasks,
  forgetTasks,
  nextWaiting,
  noteClosed,
  noteTasks,
  projectsWithErased,
  tasksIn,
} from './store.ts';
import type { KnownTask, WaitingItem } from './store.ts';
import type { SyncContext } from './sync.ts';
import { shownIn, taskOf } from './task.ts';

/** Tasks per request. Small, so that a request with an unknown outcome leaves few tasks in doubt. */
const BATCH = 50;

/**
 * Deletes tasks whose conversation was answered elsewhere, unless a reviewer has answered or begun them here. Label
 * Studio checks that when it deletes, so the remaining tasks are read afterwards. Returns the number of deleted tasks.
 */
export async function close({ api, pool }: SyncContext, { known, labelStudioId }: ReadyProject): Promise<number> {
  const done = await answeredElsewhere(pool, known.id);
  let count = 0;
  for (const batch of inBatches(done)) {
    const ids = batch.map((task) => task.label_studio_task_id);
    await api.deleteTasks(labelStudioId, ids, 'untouched');
    const left = new Set((await api.tasks(labelStudioId, { after: 0, ids })).map(({ id }) => id));
    const closed = batch.filter((task) => !left.has(task.label_studio_task_id));
    await noteClosed(pool, known.id, closed);
    count += closed.length;
  }
  return count;
}

/**
 * The result for tasks of erased conversations: how many were deleted, and sentences about those that can't be reached.
 */
interface ClosedErased {
  readonly closed: number;
  readonly warnings: readonly string[];
}

/** Deletes and forgets the tasks of erased conversations, annotated or not, in this project and in earlier ones. */
export async function closeErased(context: SyncContext, { known }: ReadyProject): Promise<ClosedErased> {
  const { pool, config } = context;
  const warnings: string[] = [];
  let closed = 0;
  for (const place of await projectsWithErased(pool)) {
    const erased = await erasedTasks(pool, place.id);
    const there = erased.filter(({ label_studio_task_id }) => label_studio_task_id !== null);
    const outOfReach = (why: string) => {
      const tasks = there.length === 1 ? '1 task' : `${there.length} tasks`;
      warnings.push(
        `${tasks} of erased conversations ${there.length === 1 ? 'is' : 'are'} in project ${place.labelStudioId}${why}`,
      );
    };
    try {
      if (place.url === config.url && place.labelStudioId !== null)
        closed += await closeErasedIn(context, place.id, place.labelStudioId, erased);
      else if (there.length > 0 && place.labelStudioId !== null)
        outOfReach(` of ${place.url}: synchronise once more with it as LABEL_STUDIO_URL, or delete them there.`);
      else
        await forgetTasks(
          pool,
          place.id,
          erased.map(({ conversation_id }) => conversation_id),
        );
    } catch (error) {
      if (place.id === known.id || !(error instanceof LabelStudioRefused)) throw error;
      outOfReach(
        ', which no longer exists or is hidden from the user of LABEL_STUDIO_API_KEY. If it no longer exists, ' +
          `DELETE FROM labelstudio_tasks WHERE project = ${place.id} ends this warning; otherwise make the user a member of the project.`,
      );
    }
  }
  return { closed, warnings };
}

async function closeErasedIn(
  { api, pool }: SyncContext,
  id: number,
  labelStudioId: number,
  erased: readonly KnownTask[],
): Promise<number> {
  let count = 0;
  for (const batch of inBatches(erased)) {
    const ids = batch.flatMap((task) => task.label_studio_task_id ?? []);
    const now = ids.length === 0 ? [] : await api.tasks(labelStudioId, { after: 0, ids });
    const there = now.map((task) => task.id).filter((one) => ids.includes(one));
    if (there.length > 0) await api.deleteTasks(labelStudioId, there);
    await forgetTasks(
      pool,
      id,
      batch.map(({ conversation_id }) => conversation_id),
    );
    count += there.length;
  }
  return count;
}

/** The result of a push: the number of created tasks, and sentences about those that Label Studio refused. */
interface Pushed {
  readonly pushed: number;
  readonly refused: readonly string[];
}

/** Creates tasks for waiting conversations until the wanted number is open. */
export async function push(context: SyncContext, project: ReadyProject): Promise<Pushed> {
  const { pool, config } = context;
  const open = await tasksIn(pool, project.known.id, 'pushing', 'open');
  const room = Math.max(config.openTasks - open.length, 0);
  if (room === 0) return { pushed: 0, refused: [] };
  const waiting = await nextWaiting(pool, project.known.id, room);
  let pushed = 0;
  const refused: string[] = [];
  for (const batch of inBatches(waiting)) {
    const result = await pushBatch(context, project, batch);
    pushed += result.pushed;
    refused.push(...result.refused);
  }
  return { pushed, refused };
}

/**
 * Notes the conversations before the request: if it fails or the process ends, the next sync looks for their tasks
 * before it pushes any of them again.
 */
async function pushBatch(context: SyncContext, project: ReadyProject, batch: readonly WaitingItem[]): Promise<Pushed> {
  const { api, pool } = context;
  const note = (status: KnownTask['status'], ids: readonly number[] = []) =>
    noteTasks(
      pool,
      project.known.id,
      batch.map((item, i) => ({
        ...{ conversation_id: item.conversation_id, revision: item.revision, status, shown: shownIn(item) },
        label_studio_task_id: ids[i] ?? null,
      })),
    );
  await note('pushing');
  const tasks: NewTask[] = batch.map(taskOf);
  try {
    const ids = await api.importTasks(project.labelStudioId, tasks);
    // If the number of ids differs, they can't be matched to the tasks; the next scan does that.
    if (ids.length === tasks.length) await note('open', ids);
    return { pushed: ids.length, refused: [] };
  } catch (error) {
    if (!(error instanceof LabelStudioRefused && error.status === 400)) throw error;
    const [only] = batch;
    if (batch.length === 1 && only) {
      await note('refused');
      return {
        pushed: 0,
        refused: [`Label Studio does not take conversation ${only.conversation_id}. ${error.message}`],
      };
    }
    const half = Math.ceil(batch.length / 2);
    const first = await pushBatch(context, project, batch.slice(0, half));
    const second = await pushBatch(context, project, batch.slice(half));
    return { pushed: first.pushed + second.pushed, refused: [...first.refused, ...second.refused] };
  }
}

function* inBatches<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let i = 0; i < items.length; i += BATCH) yield items.slice(i, i + BATCH);
}
