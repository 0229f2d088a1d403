-- Models, deployments, runs and exports, made from the topics model-events and training-runs.
CREATE TABLE model_versions (
  version             text PRIMARY KEY CHECK (version ~ '^router-v[0-9]+\.[0-9]+\.[0-9]+$'),
  status              text NOT NULL CHECK (status IN ('trained', 'rejected', 'canary', 'production', 'retired', 'rolled-back')),
  traffic_percentage  int NOT NULL DEFAULT 0 CHECK (traffic_percentage BETWEEN 0 AND 100),
  test_accuracy       float8 CHECK (test_accuracy BETWEEN 0 AND 1),
  production_accuracy float8 CHECK (production_accuracy BETWEEN 0 AND 1),
  average_latency_ms  float8,
  fallback_rate       float8 CHECK (fallback_rate BETWEEN 0 AND 1),
  training_samples    int NOT NULL DEFAULT 0,
  artifact_sha256     text,
  report_sha256       text,
  page_sha256         text,
  data_set_sha256     text,
  run_id              text,
  parent_version      text,
  compared_with       text,
  verdict             text CHECK (verdict IN ('promote', 'reject', 'inconclusive')),
  reasons             jsonb NOT NULL DEFAULT '[]',
  -- {partition: offset}: its data set has the samples of the log below these offsets.
  consumed            jsonb NOT NULL DEFAULT '{}',
  created_at          timestamptz NOT NULL,
  deployed_at         timestamptz,
  log_partition       int NOT NULL,
  log_offset          bigint NOT NULL,
  -- Checked when the transaction ends: within a batch one version may take over before the other has retired.
  CONSTRAINT model_versions_one_production EXCLUDE (status WITH =) WHERE (status = 'production') DEFERRABLE INITIALLY DEFERRED
);

-- Each change of a version's share of the traffic.
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

CREATE TABLE training_export_jobs (
  id            text PRIMARY KEY,
  status        text NOT NULL CHECK (status IN ('running', 'finished', 'failed')),
  format        text NOT NULL,
  filters       jsonb NOT NULL DEFAULT '{}',
  samples       int,
  output        text,
  sha256        text,
  manifest      jsonb,
  error         text,
  created_at    timestamptz NOT NULL,
  finished_at   timestamptz,
  log_partition int NOT NULL,
  log_offset    bigint NOT NULL
);

-- When the weekly job was last done, in one row, so that one whose time passed while nothing ran is made up. Not made from the log: if it
-- is lost, weeks count from the next start.
CREATE TABLE weekly_job (
  one     boolean PRIMARY KEY DEFAULT true CHECK (one),
  done_at timestamptz NOT NULL
);

-- The samples as people query them. model_version_target, the first version trained on a sample, follows from the offsets that each
-- version consumed. It is looked up, not stored: a stored value would depend on which of the two projections came first, and a count that
-- does not ask for it costs nothing.
CREATE VIEW training_samples AS
SELECT s.*,
       (SELECT v.version
          FROM model_versions v
         WHERE (v.consumed ->> s.log_partition::text)::bigint > s.log_offset
         ORDER BY v.created_at, v.version
         LIMIT 1) AS model_version_target
  FROM training_sample_rows s;

-- Each version beside the one before it. Accuracies are shares from 0 to 1, an improvement is their difference.
CREATE VIEW model_performance_comparison AS
SELECT version, status, traffic_percentage, test_accuracy, production_accuracy, average_latency_ms, fallback_rate, training_samples,
       lag(version) OVER earlier AS previous_version,
       test_accuracy - lag(test_accuracy) OVER earlier AS test_accuracy_improvement,
       production_accuracy - test_accuracy AS production_gap,
       created_at, deployed_at
  FROM model_versions
WINDOW earlier AS (ORDER BY created_at, version);
