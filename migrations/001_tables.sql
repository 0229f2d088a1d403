-- The six tables of the training workflow, and the two that the projections need for themselves.
-- conversation_logs, training_samples and review_queue are made from the log and can be rebuilt from it at any time.

CREATE TABLE conversation_logs (
  conversation_id    text PRIMARY KEY,
  user_id            text,
  session_id         text,
  user_message       text NOT NULL,
  language           text NOT NULL,
  nlu_intent         text NOT NULL,
  nlu_module         text NOT NULL,
  nlu_confidence     float8 CHECK (nlu_confidence BETWEEN 0 AND 1),
  nlu_provider       text NOT NULL,
  model_version      text,
  entities           jsonb NOT NULL,
  routing_target     text,
  response_success   boolean,
  processing_time_ms int CHECK (processing_time_ms >= 0),
  route              text NOT NULL CHECK (route IN ('auto-approved', 'needs-review', 'priority-review')),
  route_reasons      jsonb NOT NULL,
  policy_version     text NOT NULL,
  audit              boolean NOT NULL,
  audit_propensity   float8 CHECK (audit_propensity BETWEEN 0 AND 1),
  review_status      text NOT NULL CHECK (review_status IN ('auto-approved', 'needs-review', 'approved', 'rejected', 'skipped')),
  review_priority    smallint CHECK (review_priority BETWEEN 1 AND 3),
  verdict            text CHECK (verdict IN ('approve', 'correct', 'reject', 'skip')),
  corrected_intent   text,
  corrected_module   text,
  reviewer           text,
  reviewed_at        timestamptz,
  revision           int NOT NULL,
  created_at         timestamptz NOT NULL,
  updated_at         timestamptz NOT NULL,
  log_partition      int NOT NULL,
  log_offset         bigint NOT NULL
);
CREATE INDEX conversation_logs_created_at ON conversation_logs (created_at DESC);
CREATE INDEX conversation_logs_review_status ON conversation_logs (review_status);

CREATE TABLE training_samples (
  conversation_id      text PRIMARY KEY,
  text                 text NOT NULL,
  language             text NOT NULL,
  intent               text NOT NULL,
  module_type          text NOT NULL,
  entities             jsonb NOT NULL,
  source               text NOT NULL CHECK (source IN ('auto', 'human')),
  confidence           float8,
  review_status        text NOT NULL CHECK (review_status = 'approved'),
  reviewer             text,
  policy_version       text NOT NULL,
  model_version_target text,
  created_at           timestamptz NOT NULL,
  approved_at          timestamptz NOT NULL,
  updated_at           timestamptz NOT NULL,
  log_partition        int NOT NULL,
  log_offset           bigint NOT NULL
);
CREATE INDEX training_samples_unused ON training_samples (review_status) WHERE model_version_target IS NULL;
CREATE INDEX training_samples_module ON training_samples (module_type);

CREATE TABLE review_queue (
  conversation_id text PRIMARY KEY,
  user_message    text NOT NULL,
  language        text NOT NULL,
  nlu_intent      text NOT NULL,
  nlu_module      text NOT NULL,
  nlu_confidence  float8,
  nlu_provider    text NOT NULL,
  entities        jsonb NOT NULL,
  priority_class  smallint NOT NULL CHECK (priority_class BETWEEN 1 AND 3),
  score           float8 NOT NULL,
  reasons         jsonb NOT NULL,
  fingerprint     text NOT NULL,
  policy_version  text NOT NULL,
  created_at      timestamptz NOT NULL,
  log_partition   int NOT NULL,
  log_offset      bigint NOT NULL
);

CREATE TABLE model_versions (
  version            text PRIMARY KEY CHECK (version ~ '^router-v[0-9]+\.[0-9]+\.[0-9]+$'),
  status             text NOT NULL CHECK (status IN ('trained', 'rejected', 'canary', 'production', 'retired', 'rolled-back')),
  traffic_percentage int NOT NULL DEFAULT 0 CHECK (traffic_percentage BETWEEN 0 AND 100),
  test_accuracy      float8 CHECK (test_accuracy BETWEEN 0 AND 1),
  production_accuracy float8 CHECK (production_accuracy BETWEEN 0 AND 1),
  average_latency_ms float8,
  fallback_rate      float8 CHECK (fallback_rate BETWEEN 0 AND 1),
  training_samples   int NOT NULL DEFAULT 0,
  artifact_sha256    text,
  created_at         timestamptz NOT NULL,
  deployed_at        timestamptz
);
-- At most one version is in production: a second one is an error, not a choice.
CREATE UNIQUE INDEX model_versions_one_production ON model_versions (status) WHERE status = 'production';

CREATE TABLE model_deployments (
  id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  version            text NOT NULL REFERENCES model_versions (version),
  status             text NOT NULL,
  traffic_percentage int NOT NULL,
  deployed_at        timestamptz NOT NULL
);

CREATE TABLE training_export_jobs (
  id           text PRIMARY KEY,
  status       text NOT NULL CHECK (status IN ('running', 'finished', 'failed')),
  filters      jsonb NOT NULL DEFAULT '{}',
  samples      int,
  output       text,
  sha256       text,
  error        text,
  created_at   timestamptz NOT NULL,
  finished_at  timestamptz
);

CREATE TABLE labelstudio_projects (
  id           int PRIMARY KEY,
  title        text NOT NULL,
  description  text NOT NULL,
  label_studio_project_id int,
  tasks_pushed int NOT NULL DEFAULT 0,
  annotations_fetched int NOT NULL DEFAULT 0,
  last_sync_at timestamptz
);

CREATE TABLE projection_offsets (
  projection  text NOT NULL,
  topic       text NOT NULL,
  partition   int NOT NULL,
  next_offset bigint NOT NULL,
  -- Grows whenever somebody takes the partition over; whoever holds an older one can't write any more.
  epoch       bigint NOT NULL,
  PRIMARY KEY (projection, topic, partition)
);
