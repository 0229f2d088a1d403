/** The calls of Label Studio's API that the sync needs, with validated answers. Written for version 1.23. */
import { z } from 'zod';
import { LabelStudioRefused } from './http.ts';
import type { Send } from './http.ts';

const annotation = z.object({
  id: z.int(),
  /** A user's id, in some answers wrapped in an object; null when the user was deleted. */
  completed_by: z
    .union([z.int(), z.object({ id: z.int() }).transform(({ id }) => id)])
    .nullish()
    .transform((id) => id ?? null),
  /** Who saved it last, if known. */
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
  /** Whether any user has a draft that is not submitted. Label Studio shows users only their own drafts. */
  draft_exists: z.boolean(),
});

const project = z.object({
  id: z.int(),
  title: z.string(),
  description: z.string().nullish(),
  label_config: z.string().nullish(),
  model_version: z.string().nullish(),
  show_collab_predictions: z.boolean().optional(),
  /** The controls of the labelling configuration by name, as Label Studio parsed them. */
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

/** A reviewer's answer to a task, or a skip. */
export type Annotation = z.infer<typeof annotation>;
/** A task with its answers. */
export type Task = z.infer<typeof task>;
/** A project with its labelling configuration. */
export type Project = z.infer<typeof project>;
/** A webhook of a project. */
export type Webhook = z.infer<typeof webhook>;
/** A task to import. */
export type NewTask = { readonly data: object; readonly predictions: readonly object[] };

/** The tasks to list. */
export interface TaskFilter {
  /** Only tasks with larger ids, for the next page. */
  readonly after: number;
  /** Only tasks that changed after this time (ISO 8601). */
  readonly changedAfter?: string;
  /** Only tasks with these ids. */
  readonly ids?: readonly number[];
}

/** The most tasks per page. */
export const PAGE = 100;

/** The API calls. Each may throw LabelStudioUnavailable or LabelStudioRefused. */
export interface LabelStudioApi {
  project(id: number): Promise<Project>;
  projectsByTitle(title: string): Promise<readonly Project[]>;
  createProject(fields: object): Promise<Project>;
  changeProject(id: number, fields: object): Promise<Project>;
  /** A page of tasks, ordered by id. Paging by id misses no task while others are created or deleted. */
  tasks(projectId: number, filter: TaskFilter): Promise<readonly Task[]>;
  /**
   * Creates tasks, all or none. Returns their ids in the order of `tasks`. Not idempotent: the API has no key to detect
   * a repeated request.
   */
  importTasks(projectId: number, tasks: readonly NewTask[]): Promise<readonly number[]>;
  /**
   * Deletes tasks with their annotations; with `untouched`, only tasks without an answer, a skip or a draft at that
   * moment.
   */
  deleteTasks(projectId: number, ids: readonly number[], only?: 'untouched'): Promise<void>;
  /** E-mail addresses by user id. */
  users(): Promise<ReadonlyMap<number, string>>;
  webhooks(projectId: number): Promise<readonly Webhook[]>;
  createWebhook(fields: object): Promise<void>;
  changeWebhook(id: number, fields: object): Promise<void>;
}

/** The API, with `send` as transport. */
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
      if (ids.length === 0) return; // an empty list would select all tasks
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

/**
 * Requesting all fields takes four times as long. The list applies to tasks and nested objects, so it contains the
 * fields of both.
 */
const FIELDS = [
  ...['id', 'data', 'updated_at', 'annotations', 'draft_exists'],
  ...['completed_by', 'updated_by', 'was_cancelled', 'lead_time', 'result'],
];

/** Data manager filters for tasks without a draft, an answer or a skip. */
const UNTOUCHED = {
  conjunction: 'and',
  items: [
    { filter: 'filter:tasks:draft_exists', operator: 'equal', type: 'Boolean', value: false },
    { filter: 'filter:tasks:total_annotations', operator: 'equal', type: 'Number', value: 0 },
    { filter: 'filter:tasks:cancelled_annotations', operator: 'equal', type: 'Number', value: 0 },
  ],
};

/** A data manager query: filters by column, and the order. */
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
    `Label Studio's answer does not have the form of its version 1.23: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}.`,
    200,
  );
}
