-- Models, deployments, runs and exports are made from the log from here on, the version before the first training too.
DELETE FROM model_deployments;
DELETE FROM model_versions;

ALTER TABLE model_versions
  ADD COLUMN report_sha256   text,
  ADD COLUMN page_sha256     text,
  ADD COLUMN run_id          text,
  ADD COLUMN parent_version  text,
  ADD COLUMN compared_with   text,
  ADD COLUMN verdict         text CHECK (verdict IN ('promote', 'reject', 'inconclusive')),
  ADD COLUMN reasons         jsonb NOT NULL DEFAULT '[]',
  ADD COLUMN data_set_sha256 text,
  -- {partition: offset}: samples of the log below these were in its data set.
  ADD COLUMN consumed        jsonb NOT NULL DEFAULT '{}',
  ADD COLUMN log_partition   int NOT NULL,
  ADD COLUMN log_offset      bigint NOT NULL;
-- Still at most one version in production, but looked at when the transaction ends: within a batch one version may take
-- over before the other has retired.
DROP INDEX model_versions_one_production;
ALTER TABLE model_versions ADD CONSTRAINT model_versions_one_production
  EXCLUDE (status WITH =) WHERE (status = 'production') DEFERRABLE INITIALLY DEFERRED;

DROP TABLE model_deployments;
CREATE TABLE model_deployments (
  id                 text PRIMARY KEY,
  version            text NOT NULL,
  status             text NOT NULL,
  traffic_percentage int NOT NULL,
  deployed_by        text NOT NULL,
  reason             text NOT NULL,
  deployed_at        timestamptz NOT NULL,
  log_partition      int NOT NULL,
  log_offset         bigint NOT NULL
);
CREATE INDEX model_deployments_deployed_at ON model_deployments (deployed_at DESC);

CREATE TABLE training_runs (
  run_id          text PRIMARY KEY,
  data_set        text NOT NULL,
  trigger         text NOT NULL CHECK (trigger IN ('threshold', 'weekly', 'manual')),
  status          text NOT NULL CHECK (status IN ('requested', 'running', 'finished', 'failed', 'cancelled')),
  attempt         int NOT NULL,
  approvals       bigint NOT NULL,
  version         text,
  parent_version  text,
  data_set_sha256 text,
  manifest        jsonb,
  artifact_sha256 text,
  report_sha256   text,
  page_sha256     text,
  verdict         text CHECK (verdict IN ('promote', 'reject', 'inconclusive')),
  reasons         jsonb NOT NULL,
  stage           text,
  epoch           int NOT NULL,
  epochs          int NOT NULL,
  failure         text,
  requested_at    timestamptz NOT NULL,
  started_at      timestamptz,
  finished_at     timestamptz,
  log_partition   int NOT NULL,
  log_offset      bigint NOT NULL
);

ALTER TABLE training_export_jobs
  ADD COLUMN format        text NOT NULL,
  ADD COLUMN manifest      jsonb,
  ADD COLUMN log_partition int NOT NULL,
  ADD COLUMN log_offset    bigint NOT NULL;

-- Which version first trained on a sample follows from the offsets that each version consumed, so it is looked up, not
-- stored: a table would depend on which of the two projections came first. A count that does not ask for it costs nothing.
DROP INDEX training_samples_unused;
ALTER TABLE training_samples RENAME TO training_sample_rows;
ALTER TABLE training_sample_rows DROP COLUMN model_version_target;
CREATE VIEW training_samples AS
SELECT s.*,
       (SELECT v.version
          FROM model_versions v
         WHERE (v.consumed ->> s.log_partition::text)::bigint > s.log_offset
         ORDER BY v.created_at, v.version
         LIMIT 1) AS model_version_target
  FROM training_sample_rows s;
