/** The training report of a version: as data for the model's page, and as the HTML page that the trainer wrote. */
import type { FastifyInstance } from 'fastify';
import type { Pool } from 'pg';
import { ArtifactError } from '../trainer/artifacts.ts';
import type { ArtifactStore } from '../trainer/artifacts.ts';
import { findVersion } from './models.ts';
import { refusals } from './openapi.ts';
import { HttpProblem } from './problem.ts';

/** The dependencies of the routes. */
export interface ModelReportDeps {
  readonly pool: Pick<Pool, 'query'>;
  /** Where the trainer keeps its reports. */
  readonly artifacts: Pick<ArtifactStore, 'get'>;
}

/** Security policy for the report, which contains inline styles and drawings but no scripts. */
const REPORT_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** Adds `/v1/models/:version/report` and `/v1/models/:version/report.html`. */
export function modelReportRoutes(app: FastifyInstance, { pool, artifacts }: ModelReportDeps): void {
  const config = { role: 'read' } as const;
  const shared = {
    tags: ['models'],
    params: { type: 'object', properties: { version: { type: 'string' } } },
    response: refusals(404, 503),
  };

  async function read(version: string, column: 'report_sha256' | 'page_sha256'): Promise<Buffer> {
    const model = await findVersion(pool, version);
    const sha256 = model[column];
    if (typeof sha256 !== 'string')
      throw new HttpProblem(404, `${version} was not trained by this system, so there is no report on it.`);
    return artifacts.get(sha256).catch((error: unknown) => {
      if (!(error instanceof ArtifactError)) throw error;
      throw new HttpProblem(
        404,
        `The report on ${version} is missing or incomplete on this server: share the folder SAMVAD_ARTIFACTS with the trainer.`,
      );
    });
  }

  app.get<{ Params: { version: string } }>(
    '/v1/models/:version/report',
    {
      config,
      schema: {
        ...shared,
        summary: 'The training report of a version: evaluation, confusions, flips against production, verdict',
        description:
          'The bytes that `samvad models report` prints; the version names their SHA-256 as `report_sha256`.',
      },
    },
    async ({ params }, reply) =>
      reply.type('application/json; charset=utf-8').send(await read(params.version, 'report_sha256')),
  );
  app.get<{ Params: { version: string } }>(
    '/v1/models/:version/report.html',
    { config, schema: { ...shared, summary: 'The report as an HTML page, with curves and the confusion matrix' } },
    async ({ params }, reply) =>
      reply
        .header('content-security-policy', REPORT_POLICY)
        .type('text/html; charset=utf-8')
        .send(await read(params.version, 'page_sha256')),
  );
}
