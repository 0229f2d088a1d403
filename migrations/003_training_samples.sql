-- The approved samples. People query the view training_samples (005_models.sql), which adds the version first trained on each.
CREATE TABLE training_sample_rows (
  conversation_id text PRIMARY KEY,
  text            text NOT NULL,
  language        text NOT NULL,
  intent          text NOT NULL,
  module_type     text NOT NULL,
  entities        jsonb NOT NULL,
  source          text NOT NULL CHECK (source IN ('auto', 'human')),
  confidence      float8,
  review_status   text NOT NULL CHECK (review_status = 'approved'),
  reviewer        text,
  policy_version  text NOT NULL,
  created_at      timestamptz NOT NULL,
  approved_at     timestamptz NOT NULL,
  updated_at      timestamptz NOT NULL,
  log_partition   int NOT NULL,
  log_offset      bigint NOT NULL
);
CREATE INDEX training_sample_rows_module ON training_sample_rows (module_type);
-- The lineage of a version is read page by page, in log order.
CREATE INDEX training_sample_rows_log ON training_sample_rows (log_partition, log_offset);

-- updated_at is the time of the newest event in the row, not of the write, so that a rebuilt row equals the first one.
CREATE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_TABLE_NAME = 'conversation_logs' THEN
    NEW.updated_at := greatest(NEW.created_at, NEW.reviewed_at, NEW.standing_since);
  ELSE
    NEW.updated_at := greatest(NEW.created_at, NEW.approved_at);
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER conversation_logs_updated_at BEFORE INSERT OR UPDATE ON conversation_logs FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER training_samples_updated_at BEFORE INSERT OR UPDATE ON training_sample_rows FOR EACH ROW EXECUTE FUNCTION set_updated_at();
