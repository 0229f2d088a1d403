/** The owner of a project. Two installations in one project would each fill it and delete tasks they do not know. */
import type { LabelStudioApi, Project } from './api.ts';
import { LabelStudioRefused } from './http.ts';

const MARK = /^Samvad installation: (\S+)$/m;

/** The id of the installation that owns the project, from its description; undefined without an owner. */
export function ownerOf({ description }: Pick<Project, 'description'>): string | undefined {
  return MARK.exec(description ?? '')?.[1];
}

/** The description with the mark of this installation instead of any other. */
export function marked(description: string, installation: string): string {
  return `${description.replace(MARK, '').trim()}\n\nSamvad installation: ${installation}`.trim();
}

/**
 * Makes sure that the project belongs to this installation; marks it if it has no owner. `takeOver` takes it from
 * another owner.
 * @throws LabelStudioRefused when it belongs to another installation.
 */
export async function claim(
  api: LabelStudioApi,
  project: Project,
  installation: string,
  takeOver: boolean,
): Promise<Project> {
  const owner = ownerOf(project);
  if (owner === installation) return project;
  if (owner !== undefined && !takeOver) throw ofAnother(project, owner);
  await api.changeProject(project.id, { description: marked(project.description ?? '', installation) });
  const now = await api.project(project.id); // two installations may have marked it at once; the last mark counts
  if (ownerOf(now) !== installation) throw ofAnother(now, ownerOf(now) ?? 'nobody');
  return now;
}

function ofAnother({ id, title }: Project, owner: string): LabelStudioRefused {
  return new LabelStudioRefused(
    `The project ${id} (${title}) belongs to another installation of Samvad, ${owner}, and two must not share one. Create an empty project ` +
      'in Label Studio and set LABEL_STUDIO_PROJECT_ID to its number; or, if this installation replaces that one, run ' +
      '`samvad label-studio sync --take-over` once.',
    409,
  );
}
