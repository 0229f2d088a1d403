/** The few calls of Label Studio's API that the sync needs, with checked answers. Written against version 1.23. */
import { z } from 'zod';
import { LabelStudioRefused } from './http.ts';
import type { Send } from './http.ts';

const annotation = z.object({
  id: z.int(),
  /** A user's id, in some answers inside an object; null when the user is gone. */
  completed_by: z
    .union([z.int(), z.object({ id: z.int() }).transform(({ id }) => id)])
    .nullish()
    .transform((id) => id ?? null),
  /** Who saved it last, where that is known. */
  updated_by: z.int().nullish(),
  /** The reviewer skipped the task. */
  was_cancelled: z.boolean(),
  updated_at: z.string(),
  /** Seconds. */
  lead_time: z.number().nullish(),
  result: z.unknown(),
});

const task = z.object({
  id: z.int(),
  data: z.record(z.string(), z.unknown()),
  updated_at: z.string(),
  annotations: z.array(annotation).default([]),
  /** What somebody, whoever it is, has begun and not submitted; Label Studio shows each only their own drafts. */
  draft_exists: z.boolean(),
});

const project = z.object({
  id: z.int(),
  title: z.string(),
  description: z.string().nullish(),
  label_config: z.string().nullish(),
  model_version: z.string().nullish(),
  show_collab_predictions: z.boolean().optional(),
  /** The controls of the labelling configuration, by name, as Label Studio reads it. */
  parsed_label_config: z
    .record(z.string(), z.object({ type: z.string(), to_name: z.array(z.string()) }))
    .nullish()
    .transform((controls) => controls ?? {}),
});

const webhook = z.object({
  id: z.int(),
  url: z.string(),
  is_active: z.boolean(),
  headers: z.record(z.string(), z.string()),
});

/** An answer, or a skip, of one reviewer to one task. */
export type Annotation = z.infer<typeof annotation>;
/** A task with its answers. */
export type Task = z.infer<typeof task>;
/** A project with its labelling configuration. */
export type Project = z.infer<typeof project>;
/** A webhook of a project. */
export type Webhook = z.infer<typeof webhook>;
/** A task as it is imported. */
export type NewTask = { readonly data: object; readonly predictions: readonly object[] };

/** Which tasks to list. */
export interface TaskFilter {
  /** Only tasks with larger ids: the next page. */
  readonly after: number;
  /** Only tasks that changed after this time (ISO 8601). */
  readonly changedAfter?: string;
  /** Only these. */
  readonly ids?: readonly number[];
}

/** Tasks that a page holds at most. */
export const PAGE = 100;

/** The calls. Every one may throw LabelStudioUnavailable or LabelStudioRefused. */
export interface LabelStudioApi {
  project(id: number): Promise<Project>;
  projectsByTitle(title: string): Promise<readonly Project[]>;
  createProject(fields: object): Promise<Project>;
  changeProject(id: number, fields: object): Promise<Project>;
  /** A page of tasks by id. Paging by id misses nothing while tasks come and go. */
  tasks(projectId: number, filter: TaskFilter): Promise<readonly Task[]>;
  /** Creates tasks, all or none. Gives their ids in the order of `tasks`. There is no key against doing it twice. */
  importTasks(projectId: number, tasks: readonly NewTask[]): Promise<readonly number[]>;
  /** Deletes tasks with all that hangs on them; with `untouched`, those that nobody has answered, skipped or begun by then. */
  deleteTasks(projectId: number, ids: readonly number[], only?: 'untouched'): Promise<void>;
  /** E-mail addresses by user id. */
  users(): Promise<ReadonlyMap<number, string>>;
  webhooks(projectId: number): Promise<readonly Webhook[]>;
  createWebhook(fields: object): Promise<void>;
  changeWebhook(id: number, fields: object): Promise<void>;
}

/** The API behind `send`. */
export function labelStudioApi(send: Send): LabelStudioApi {
  return {
    project: async (id) => read(project, await send('GET', `api/projects/${id}/`)),
    async projectsByTitle(title) {
      const query = new URLSearchParams({ title, page_size: '100' });
      const { results } = read(
        z.object({ results: z.array(project) }),
        await send('GET', `api/projects/?${query.toString()}`),
      );
      return results.filter((one) => one.title === title);
    },
    createProject: async (fields) => read(project, await send('POST', 'api/projects/', fields)),
    changeProject: async (id, fields) => read(project, await send('PATCH', `api/projects/${id}/`, fields)),
    async tasks(projectId, filter) {
      const query = new URLSearchParams({
        project: String(projectId),
        page: '1',
        page_size: String(PAGE),
        fields: 'all',
        include: FIELDS.join(','),
        query: JSON.stringify(taskQuery(filter)),
      });
      return read(z.object({ tasks: z.array(task) }), await send('GET', `api/tasks?${query.toString()}`)).tasks;
    },
    async importTasks(projectId, tasks) {
      const answer = await send('POST', `api/projects/${projectId}/import?return_task_ids=true`, tasks);
      return read(z.object({ task_ids: z.array(z.int()) }), answer).task_ids;
    },
    async deleteTasks(projectId, ids, only) {
      if (ids.length === 0) return; // an empty list would mean all
      await send('POST', `api/dm/actions?id=delete_tasks&project=${projectId}`, {
        selectedItems: { all: false, included: ids },
        ordering: [],
        ...(only === 'untouched' && { filters: UNTOUCHED }),
      });
    },
    async users() {
      const users = read(z.array(z.object({ id: z.int(), email: z.string() })), await send('GET', 'api/users/'));
      return new Map(users.map(({ id, email }) => [id, email]));
    },
    webhooks: async (projectId) => read(z.array(webhook), await send('GET', `api/webhooks/?project=${projectId}`)),
    async createWebhook(fields) {
      await send('POST', 'api/webhooks/', fields);
    },
    async changeWebhook(id, fields) {
      await send('PATCH', `api/webhooks/${id}/`, fields);
    },
  };
}

/** All fields take four times as long. The list holds for a task and for what is in it alike, so it has the fields of both. */
const FIELDS = [
  ...['id', 'data', 'updated_at', 'annotations', 'draft_exists'],
  ...['completed_by', 'updated_by', 'was_cancelled', 'lead_time', 'result'],
];

/** Filters of the data manager: tasks without a draft of anybody, an answer or a skip. */
const UNTOUCHED = {
  conjunction: 'and',
  items: [
    { filter: 'filter:tasks:draft_exists', operator: 'equal', type: 'Boolean', value: false },
    { filter: 'filter:tasks:total_annotations', operator: 'equal', type: 'Number', value: 0 },
    { filter: 'filter:tasks:cancelled_annotations', operator: 'equal', type: 'Number', value: 0 },
  ],
};

/** The query of the data manager: filters by column, and the order. */
function taskQuery({ after, changedAfter, ids }: TaskFilter): object {
  const items = [
    { filter: 'filter:tasks:id', operator: 'greater', type: 'Number', value: after },
    ...(changedAfter === undefined
      ? []
      : [{ filter: 'filter:tasks:updated_at', operator: 'greater', type: 'Datetime', value: changedAfter }]),
  ];
  return {
    filters: { conjunction: 'and', items },
    ordering: ['tasks:id'],
    ...(ids && { selectedItems: { all: false, included: ids } }),
  };
}

function read<S extends z.ZodType>(shape: S, answer: unknown): z.output<S> {
  const result = shape.safeParse(answer);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new LabelStudioRefused(
    `Label Studio's answer is not as its version 1.23 gives it: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}.`,
    200,
  );
}
