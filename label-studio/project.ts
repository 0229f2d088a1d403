/**
 * The project in Label Studio: finds or creates it, checks its labelling configuration, keeps its webhook registered.
 */
import { readFile } from 'node:fs/promises';
import type { Pool } from 'pg';
import type { LabelStudioConfig } from '../config.ts';
import type { LabelStudioApi, Project } from './api.ts';
import { PAGE } from './api.ts';
import { LabelStudioRefused } from './http.ts';
import { CONFIG_FILE, configProblems, isReadable, isUnconfigured, labelsOf, withLabels } from './labelling-config.ts';
import { claim, marked, ownerOf } from './owner.ts';
import {
  addProject,
  installationId,
  knownProject,
  labelsInTraffic,
  noteProject,
  projectsNumbered,
  tasksIn,
} from './store.ts';
import type { KnownProject } from './store.ts';
import { PREDICTED_BY } from './task.ts';
import { keepWebhook } from './webhook.ts';

/** Only a full scan detects deleted tasks and changes that leave `updated_at` as it was. */
const FULL_SCAN_MS = 60 * 60 * 1000;

/** A project that can take tasks. */
export interface ReadyProject {
  readonly known: KnownProject;
  readonly labelStudioId: number;
  /** Whether to scan all tasks and to read all labels of the traffic. */
  readonly full: boolean;
  /** Sentences about what reviewers will miss or wait for. The sync works nevertheless. */
  readonly warnings: readonly string[];
}

/**
 * Finds or creates the project and adds all labels of the traffic.
 * @throws LabelStudioRefused when its configuration makes answers unreadable, or it belongs to another installation.
 */
export async function readyProject(
  api: LabelStudioApi,
  pool: Pool,
  config: LabelStudioConfig,
  { full: asked, takeOver = false }: { readonly full: boolean; readonly takeOver?: boolean },
): Promise<ReadyProject> {
  const template: Template = { xml: await readFile(CONFIG_FILE, 'utf8'), installation: await installationId(pool) };
  const { known: here, project: found } = await findProject(api, pool, config, template);
  const project = await claim(api, found, template.installation, takeOver);
  const known = here.labelStudioId === project.id ? here : ((await knownElsewhere(api, pool, project)) ?? here);
  await noteProject(pool, known.id, config.url, project.id);
  const configured = isUnconfigured(project)
    ? await api.changeProject(project.id, { label_config: template.xml })
    : project;
  const problems = configProblems(configured);
  if (problems.length > 0)
    throw new LabelStudioRefused(
      `The labelling configuration of project ${project.id} (${project.title}) can't be used: ${problems.join(', ')}. Put the content of ` +
        'label-studio-config.xml into Settings → Labeling Interface → Code, or set LABEL_STUDIO_PROJECT_ID to another project.',
      200,
    );
  const full = asked || (await needsFullScan(pool, known));
  const complete = withLabels(configured.label_config ?? '', await labelsInTraffic(pool, { all: full }));
  if (complete !== undefined) await api.changeProject(project.id, { label_config: complete });
  const missing = [...whatIsMissing(configured), ...(await webhookRefused(api, config, project.id))];
  const warnings = missing.map((what) => `In project ${project.id}, ${what}.`);
  return { known, labelStudioId: project.id, full, warnings };
}

/**
 * The project as noted under another URL: a server may move to a new name or to https, and no annotation may count
 * twice. The number alone proves little, since every server has a project 1, so known tasks must exist there too.
 */
async function knownElsewhere(api: LabelStudioApi, pool: Pool, { id }: Project): Promise<KnownProject | undefined> {
  for (const known of await projectsNumbered(pool, id)) {
    const tasks = (await tasksIn(pool, known.id, 'open', 'answered')).slice(-PAGE);
    const conversations = new Map(tasks.map((task) => [task.label_studio_task_id, task.conversation_id]));
    const ids = tasks.flatMap(({ label_studio_task_id }) => label_studio_task_id ?? []);
    const there = ids.length === 0 ? [] : await api.tasks(id, { after: 0, ids });
    if (there.some((task) => conversations.get(task.id) === task.data['conversation_id'])) return known;
  }
  return undefined;
}

/** After an import with an unknown outcome, the next scan must look for its tasks before any is pushed again. */
async function needsFullScan(pool: Pool, { id, scannedTo, fullScanAt }: KnownProject): Promise<boolean> {
  if (scannedTo === null || fullScanAt === null || Date.now() - fullScanAt.getTime() > FULL_SCAN_MS) return true;
  return (await tasksIn(pool, id, 'pushing')).length > 0;
}

/** What a new project is created from. */
interface Template {
  /** The labelling configuration. */
  readonly xml: string;
  readonly installation: string;
}

async function findProject(
  api: LabelStudioApi,
  pool: Pool,
  { url, projectId }: LabelStudioConfig,
  template: Template,
): Promise<{ known: KnownProject; project: Project }> {
  const known = await knownProject(pool, url, projectId);
  const id = projectId ?? known.labelStudioId;
  if (id === null) return { known, project: await adoptOrCreate(api, known, template) };
  try {
    return { known, project: await api.project(id) };
  } catch (error) {
    if (!(error instanceof LabelStudioRefused && error.status === 404)) throw error;
    if (projectId !== undefined)
      throw new LabelStudioRefused(
        `Label Studio has no project ${projectId} that the user of LABEL_STUDIO_API_KEY may see; correct ` +
          'LABEL_STUDIO_PROJECT_ID, or remove it, so that a project is created.',
        404,
      );
    const next = await addProject(pool); // the project was deleted: its tasks are gone, but their labels stay
    return { known: next, project: await adoptOrCreate(api, next, template) };
  }
}

/**
 * Looks for a project with the title first: an earlier creation may have succeeded without an answer. A project of this
 * installation has precedence, then one without an owner.
 */
async function adoptOrCreate(
  api: LabelStudioApi,
  { title, description }: KnownProject,
  { xml, installation }: Template,
): Promise<Project> {
  const found = await api.projectsByTitle(title);
  const of = (owner: string | undefined) => found.find((project) => ownerOf(project) === owner);
  const taken = of(installation) ?? of(undefined) ?? found[0];
  if (taken) return taken;
  return api.createProject({
    title,
    description: marked(description, installation),
    label_config: xml,
    show_collab_predictions: true,
    model_version: '',
    show_skip_button: true,
    enable_empty_annotation: false,
    maximum_annotations: 1,
    sampling: 'Sequential sampling', // tasks are pushed in the order in which they are to be answered
    skip_queue: 'IGNORE_SKIPPED', // a skip is an answer
  });
}

/** Keeps the webhook registered. Returns why Label Studio refuses it, as it does for an address in its own network. */
async function webhookRefused(api: LabelStudioApi, config: LabelStudioConfig, project: number): Promise<string[]> {
  try {
    await keepWebhook(api, config, project);
    return [];
  } catch (error) {
    if (!(error instanceof LabelStudioRefused)) throw error;
    return [`there is no webhook, so answers come with the next synchronisation only: ${error.message}`];
  }
}

function whatIsMissing(project: Project): string[] {
  const { show_collab_predictions, model_version } = project;
  return [
    ...(show_collab_predictions === false
      ? ['predictions are not filled in: switch on Settings → Annotation → Use predictions to prelabel tasks']
      : []),
    ...(model_version != null && model_version !== '' && model_version !== PREDICTED_BY
      ? [
          `predictions of ${model_version} are filled in, not those of ${PREDICTED_BY}: Settings → Annotation → Live predictions`,
        ]
      : []),
    ...choicesMissing(project.label_config ?? ''),
  ];
}

function choicesMissing(xml: string): string[] {
  if (!isReadable(xml))
    return [
      'labels of new traffic are not added: the configuration must have <Taxonomy name="label"> exactly once, and every tag closed',
    ];
  return labelsOf(xml).size === 0 ? ['`label` had no choices until now'] : [];
}
