/** The state of the sync in Postgres; one statement per function. */
import type { Pool, PoolClient } from 'pg';
import type { ReviewSubmitted, ShownPrediction } from '../schemas/types.ts';
import type { Counted } from './annotation.ts';
import type { Waiting } from './task.ts';

type Db = Pool | PoolClient;

/** A project of Label Studio that this installation works with. */
export interface KnownProject {
  /** Its id in this database, which the other tables refer to. */
  readonly id: number;
  readonly title: string;
  readonly description: string;
  readonly labelStudioId: number | null;
  /** The time up to which changes were scanned; ISO 8601. */
  readonly scannedTo: string | null;
  readonly fullScanAt: Date | null;
}

/** A task that this installation created or found. */
export interface KnownTask {
  readonly conversation_id: string;
  /** For a new task: the conversation's revision while it waits; null if not known. */
  readonly revision?: number | null;
  /** For a new task: what its reviewer sees of the prediction. */
  readonly shown?: ShownPrediction;
  readonly label_studio_task_id: number | null;
  readonly status: 'pushing' | 'open' | 'answered' | 'closed' | 'refused';
}

const PROJECT = `id, title, description, label_studio_project_id AS "labelStudioId", full_scan_at AS "fullScanAt",
  to_char(scanned_to AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "scannedTo"`;

/** The latest project on this server; with a number, exactly that one. */
export async function knownProject(db: Db, url: string, labelStudioId?: number): Promise<KnownProject> {
  const { rows } = await db.query<KnownProject>(
    `SELECT ${PROJECT} FROM labelstudio_projects
      WHERE url = $1 AND ($2::int IS NULL OR label_studio_project_id = $2) ORDER BY id DESC LIMIT 1`,
    [url, labelStudioId ?? null],
  );
  return rows[0] ?? (await addProject(db));
}

/** The projects with this number on any server, latest first. */
export async function projectsNumbered(db: Db, labelStudioId: number): Promise<readonly KnownProject[]> {
  const { rows } = await db.query<KnownProject>(
    `SELECT ${PROJECT} FROM labelstudio_projects WHERE label_studio_project_id = $1 ORDER BY id DESC`,
    [labelStudioId],
  );
  return rows;
}

/** The id of this installation. */
export async function installationId(db: Db): Promise<string> {
  const { rows } = await db.query<{ id: string }>('SELECT id FROM labelstudio_installation');
  return (rows[0] as { id: string }).id;
}

/**
 * A row for a further project: the template row without a server, if it is still unused, or a new row with the texts of
 * the first.
 */
export async function addProject(db: Db): Promise<KnownProject> {
  const spare = await db.query<KnownProject>(
    `SELECT ${PROJECT} FROM labelstudio_projects WHERE url IS NULL ORDER BY id LIMIT 1`,
  );
  if (spare.rows[0]) return spare.rows[0];
  const added = await db.query<KnownProject>(
    `INSERT INTO labelstudio_projects (id, title, description)
     SELECT max(id) + 1, (array_agg(title ORDER BY id))[1], (array_agg(description ORDER BY id))[1] FROM labelstudio_projects
     RETURNING ${PROJECT}`,
  );
  return added.rows[0] as KnownProject;
}

/**
 * Notes the server and number of a project. An older project with that number is gone, because the server was
 * reinstalled and counts from 1 again.
 */
export async function noteProject(db: Db, id: number, url: string, labelStudioId: number): Promise<void> {
  await db.query(
    `UPDATE labelstudio_projects SET label_studio_project_id = NULL
      WHERE url = $2 AND label_studio_project_id = $3 AND id <> $1`,
    [id, url, labelStudioId],
  );
  await db.query('UPDATE labelstudio_projects SET url = $2, label_studio_project_id = $3 WHERE id = $1', [
    id,
    url,
    labelStudioId,
  ]);
}

/** Notes how far a scan got. */
export async function noteScan(db: Db, id: number, scannedTo: string | undefined, full: boolean): Promise<void> {
  await db.query(
    `UPDATE labelstudio_projects SET scanned_to = greatest(scanned_to, $2), full_scan_at = CASE WHEN $3 THEN now() ELSE full_scan_at END
      WHERE id = $1`,
    [id, scannedTo ?? null, full],
  );
}

/** Notes a successful sync and its figures. */
export async function noteSync(
  db: Db,
  id: number,
  did: { readonly pushed: number; readonly closed: number; readonly annotations: number; readonly reviews: number },
): Promise<void> {
  await db.query(
    `UPDATE labelstudio_projects
        SET tasks_pushed = tasks_pushed + $2, tasks_closed = tasks_closed + $3, annotations_fetched = annotations_fetched + $4,
            reviews = reviews + $5, last_sync_at = now(), last_error = NULL, last_error_at = NULL
      WHERE id = $1`,
    [id, did.pushed, did.closed, did.annotations, did.reviews],
  );
}

/** Notes why a sync failed, on this server's project or the template row. */
export async function noteFailure(db: Db, url: string, message: string): Promise<void> {
  await db.query(
    `UPDATE labelstudio_projects SET last_error = $2, last_error_at = now()
      WHERE id = (SELECT id FROM labelstudio_projects WHERE url IS NULL OR url = $1 ORDER BY url IS NULL, id DESC LIMIT 1)`,
    [url, message],
  );
}

/** The state of the exchange with the most recent project. */
export interface Standing {
  readonly url: string | null;
  readonly project: number | null;
  readonly title: string;
  /** Tasks by status. */
  readonly tasks: Readonly<Record<string, number>>;
  /** Reviews that Kafka has not acknowledged yet. */
  readonly unsent: number;
  readonly last_sync_at: Date | null;
  readonly last_error: string | null;
  readonly last_error_at: Date | null;
}

/** Reads the state of the exchange. */
export async function readStanding(db: Db): Promise<Standing> {
  const { rows } = await db.query<Standing>(
    `SELECT url, label_studio_project_id AS project, title, last_sync_at, last_error, last_error_at,
            (SELECT coalesce(jsonb_object_agg(status, count), '{}')
               FROM (SELECT status, count(*) FROM labelstudio_tasks WHERE project = p.id GROUP BY 1) AS counts) AS tasks,
            (SELECT count(*)::int FROM labelstudio_outbox) AS unsent
       FROM labelstudio_projects p ORDER BY greatest(last_sync_at, last_error_at) DESC NULLS LAST, id LIMIT 1`,
  );
  return rows[0] as Standing;
}

/**
 * Modules and intents of waiting conversations, including runners-up; with `all`, also those of every conversation,
 * predicted or corrected.
 */
export async function labelsInTraffic(db: Db, { all }: { readonly all: boolean }): Promise<Map<string, Set<string>>> {
  const waiting = `SELECT nlu_module, nlu_intent FROM review_queue
             UNION SELECT label ->> 'module', label ->> 'intent' FROM review_queue, jsonb_array_elements(runners_up) AS label`;
  const everything = `SELECT nlu_module, nlu_intent FROM conversation_logs
             UNION SELECT corrected_module, corrected_intent FROM conversation_logs WHERE corrected_intent IS NOT NULL`;
  const { rows } = await db.query<{ module: string; intents: string[] }>(
    `SELECT module, array_agg(intent ORDER BY intent) AS intents
       FROM (${waiting}${all ? ` UNION ${everything}` : ''}) AS labels (module, intent)
      GROUP BY 1 ORDER BY 1`,
  );
  return new Map(rows.map(({ module, intents }) => [module, new Set(intents)]));
}

/** The tasks of these conversations. */
export async function knownTasks(
  db: Db,
  project: number,
  conversations: readonly string[],
): Promise<Map<string, KnownTask>> {
  const { rows } = await db.query<KnownTask>(
    `SELECT conversation_id, label_studio_task_id, status FROM labelstudio_tasks
      WHERE project = $1 AND conversation_id = ANY ($2)`,
    [project, conversations],
  );
  return new Map(rows.map((row) => [row.conversation_id, row]));
}

/** The tasks with these statuses. */
export async function tasksIn(
  db: Db,
  project: number,
  ...statuses: readonly KnownTask['status'][]
): Promise<KnownTask[]> {
  const { rows } = await db.query<KnownTask>(
    `SELECT conversation_id, label_studio_task_id, status FROM labelstudio_tasks WHERE project = $1 AND status = ANY ($2)`,
    [project, statuses],
  );
  return rows;
}

/** Notes the state of tasks. */
export async function noteTasks(db: Db, project: number, tasks: readonly KnownTask[]): Promise<void> {
  if (tasks.length === 0) return;
  await db.query(
    `INSERT INTO labelstudio_tasks AS t (project, conversation_id, label_studio_task_id, status, waited_at_revision, shown)
     SELECT $1, * FROM unnest($2::text[], $3::int[], $4::text[], $5::int[], $6::jsonb[])
     ON CONFLICT (project, conversation_id) DO UPDATE
       SET label_studio_task_id = excluded.label_studio_task_id, status = excluded.status, updated_at = now(),
           shown = coalesce(excluded.shown, t.shown),
           waited_at_revision = CASE WHEN t.status = 'answered' AND excluded.status = 'open'
                                     THEN (SELECT revision FROM conversation_logs c WHERE c.conversation_id = t.conversation_id)
                                     ELSE coalesce(excluded.waited_at_revision, t.waited_at_revision) END`,
    [
      project,
      tasks.map((task) => task.conversation_id),
      tasks.map((task) => task.label_studio_task_id),
      tasks.map((task) => task.status),
      tasks.map((task) => task.revision ?? null),
      tasks.map((task) => (task.shown ? JSON.stringify(task.shown) : null)),
    ],
  );
}

/** Notes that tasks are gone from Label Studio. */
export async function noteClosed(
  db: Db,
  project: number,
  tasks: readonly Pick<KnownTask, 'conversation_id'>[],
): Promise<void> {
  await db.query(
    `UPDATE labelstudio_tasks SET status = 'closed', label_studio_task_id = NULL, updated_at = now()
      WHERE project = $1 AND conversation_id = ANY ($2)`,
    [project, tasks.map((task) => task.conversation_id)],
  );
}

/** A waiting conversation and its revision while it waits; null if not known. */
export type WaitingItem = Waiting & { readonly revision: number | null };

/**
 * Waiting conversations that have no task and no lease in the inbox, most useful first, as a reviewer may see them.
 * Already answered ones are excluded although the queue may still list them, because nothing would ever remove their
 * task. A conversation that waits for a second person has no revision: the second answer may exist before the queue
 * shows it.
 */
export async function nextWaiting(db: Db, project: number, limit: number): Promise<WaitingItem[]> {
  const { rows } = await db.query<WaitingItem>(
    `SELECT q.conversation_id, q.user_message, q.language, q.nlu_intent, q.nlu_module, q.nlu_confidence, q.nlu_provider,
            q.model_version, CASE WHEN q.review_status = 'needs-review' THEN c.revision END AS revision
       FROM training_queue q JOIN conversation_logs c USING (conversation_id)
      WHERE NOT EXISTS (SELECT FROM labelstudio_tasks t
                         WHERE t.project = $1 AND t.conversation_id = q.conversation_id AND t.status <> 'closed')
        AND NOT EXISTS (SELECT FROM review_leases l WHERE l.conversation_id = q.conversation_id AND l.expires_at > now())
        AND (c.verdict IS NULL OR q.review_status = 'needs-second-review')
      ORDER BY q.review_priority LIMIT $2`,
    [project, limit],
  );
  return rows;
}

/** A task whose number in Label Studio is known. */
type TaskThere = KnownTask & { readonly label_studio_task_id: number };

/**
 * Open tasks whose conversation no longer waits. Limited to conversations in the table: while it is being rebuilt, a
 * missing row means nothing.
 */
export async function answeredElsewhere(db: Db, project: number): Promise<TaskThere[]> {
  const { rows } = await db.query<TaskThere>(
    `SELECT t.conversation_id, t.label_studio_task_id, t.status FROM labelstudio_tasks t JOIN conversation_logs c USING (conversation_id)
      WHERE t.project = $1 AND t.status = 'open' AND t.label_studio_task_id IS NOT NULL AND c.review_status <> 'needs-review'
        AND (t.waited_at_revision IS NULL OR c.revision > t.waited_at_revision)
        AND NOT EXISTS (SELECT FROM review_queue q WHERE q.conversation_id = t.conversation_id)`,
    [project],
  );
  return rows;
}

/** Tasks of erased conversations, in any status, except those whose existence is still unknown. */
export async function erasedTasks(db: Db, project: number): Promise<KnownTask[]> {
  const { rows } = await db.query<KnownTask>(
    `SELECT t.conversation_id, t.label_studio_task_id, t.status FROM labelstudio_tasks t JOIN erasures USING (conversation_id)
      WHERE t.project = $1 AND t.status <> 'pushing'`,
    [project],
  );
  return rows;
}

/** The location of a project: its id here, its server and its number there; null if it is gone or never existed. */
export interface ProjectPlace {
  readonly id: number;
  readonly url: string | null;
  readonly labelStudioId: number | null;
}

/** Every project with tasks of erased conversations, on this server and others. */
export async function projectsWithErased(db: Db): Promise<readonly ProjectPlace[]> {
  const { rows } = await db.query<ProjectPlace>(
    `SELECT p.id, p.url, p.label_studio_project_id AS "labelStudioId" FROM labelstudio_projects p
      WHERE EXISTS (SELECT FROM labelstudio_tasks t JOIN erasures USING (conversation_id) WHERE t.project = p.id AND t.status <> 'pushing')
      ORDER BY p.id`,
  );
  return rows;
}

/** Deletes tasks and their counted annotations from the tables. */
export async function forgetTasks(db: Db, project: number, conversations: readonly string[]): Promise<void> {
  for (const table of ['labelstudio_annotations', 'labelstudio_tasks'])
    await db.query(`DELETE FROM ${table} WHERE project = $1 AND conversation_id = ANY ($2)`, [project, conversations]);
}

/**
 * What reviewers saw of these conversations; unknown conversations are left out. If nothing was noted, only the
 * predicted label, which is always shown.
 */
export async function shownOf(
  db: Db,
  project: number,
  conversations: readonly string[],
): Promise<Map<string, ShownPrediction>> {
  const { rows } = await db.query<{ conversation_id: string; shown: ShownPrediction }>(
    `SELECT c.conversation_id,
            coalesce(t.shown, jsonb_build_object('intent', c.nlu_intent, 'module', c.nlu_module, 'confidence', NULL, 'model_version', NULL)) AS shown
       FROM conversation_logs c LEFT JOIN labelstudio_tasks t ON t.conversation_id = c.conversation_id AND t.project = $1
      WHERE c.conversation_id = ANY ($2)`,
    [project, conversations],
  );
  return new Map(rows.map(({ conversation_id, shown }) => [conversation_id, shown]));
}

/** A task and its conversation. The number alone may repeat after Label Studio was reinstalled. */
interface TaskOf {
  readonly id: number;
  readonly conversation_id: string;
}

/** The counted annotations of these tasks, by task. */
export async function countedAt(db: Db, project: number, tasks: readonly TaskOf[]): Promise<Map<number, Counted[]>> {
  const { rows } = await db.query<Counted>(
    `SELECT annotation_id, label_studio_task_id, version, review_id, verdict, withdrawn, lead_time_ms FROM labelstudio_annotations
      WHERE project = $1 AND (label_studio_task_id, conversation_id) IN (SELECT * FROM unnest($2::int[], $3::text[]))`,
    [project, tasks.map(({ id }) => id), tasks.map(({ conversation_id }) => conversation_id)],
  );
  const byTask = new Map<number, Counted[]>();
  for (const row of rows) byTask.set(row.label_studio_task_id, [...(byTask.get(row.label_studio_task_id) ?? []), row]);
  return byTask;
}

/** Notes which annotations are counted now. */
export async function noteCounted(
  db: Db,
  project: number,
  counted: readonly (Counted & { readonly conversation_id: string })[],
): Promise<void> {
  if (counted.length === 0) return;
  await db.query(
    `INSERT INTO labelstudio_annotations
       (project, annotation_id, label_studio_task_id, conversation_id, version, review_id, verdict, withdrawn, lead_time_ms)
     SELECT $1, * FROM unnest($2::int[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::boolean[], $9::int[])
     ON CONFLICT (project, annotation_id) DO UPDATE
       SET label_studio_task_id = excluded.label_studio_task_id, conversation_id = excluded.conversation_id, version = excluded.version,
           review_id = excluded.review_id, verdict = excluded.verdict, withdrawn = excluded.withdrawn, lead_time_ms = excluded.lead_time_ms`,
    [
      project,
      counted.map((one) => one.annotation_id),
      counted.map((one) => one.label_studio_task_id),
      counted.map((one) => one.conversation_id),
      counted.map((one) => one.version),
      counted.map((one) => one.review_id),
      counted.map((one) => one.verdict),
      counted.map((one) => one.withdrawn),
      counted.map((one) => one.lead_time_ms),
    ],
  );
}

/** Appends reviews to the outbox. */
export async function enqueue(db: Db, reviews: readonly ReviewSubmitted[]): Promise<void> {
  if (reviews.length === 0) return;
  await db.query(
    'INSERT INTO labelstudio_outbox (review) SELECT value FROM jsonb_array_elements($1) WITH ORDINALITY ORDER BY ordinality',
    [JSON.stringify(reviews)],
  );
}

/** The oldest reviews of the outbox. */
export async function nextToSend(db: Db, limit: number): Promise<readonly { id: string; review: ReviewSubmitted }[]> {
  const { rows } = await db.query<{ id: string; review: ReviewSubmitted }>(
    'SELECT id, review FROM labelstudio_outbox ORDER BY id LIMIT $1',
    [limit],
  );
  return rows;
}

/** Deletes reviews that Kafka has acknowledged. */
export async function sent(db: Db, ids: readonly string[]): Promise<void> {
  await db.query('DELETE FROM labelstudio_outbox WHERE id = ANY ($1)', [ids]);
}
