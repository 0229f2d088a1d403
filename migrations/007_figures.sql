-- How many rows the large tables have, kept by triggers in the transactions that change them: the dashboard asks every two seconds, and
-- counting takes longer the larger a table is. Each log partition has counts of its own, which only the process that writes the partition
-- touches, so that writers never wait for each other.
CREATE TABLE row_counts (
  relation      text NOT NULL,
  -- The hour or day (UTC) of the rows where they are counted by time; -infinity where they are not.
  at            timestamptz NOT NULL,
  log_partition int NOT NULL,
  kind          text NOT NULL,
  rows          bigint NOT NULL,
  PRIMARY KEY (relation, at, log_partition, kind)
) WITH (fillfactor = 50);

-- Arguments: the relation, and a row's time and kind as SQL.
CREATE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  change CONSTANT text := '
    INSERT INTO row_counts AS c (relation, at, log_partition, kind, rows)
    SELECT %L, %s, log_partition, %s, sum(n) FROM (%s) AS changed GROUP BY 2, 3, 4 HAVING sum(n) <> 0 ORDER BY 2, 3, 4
    ON CONFLICT (relation, at, log_partition, kind) DO UPDATE SET rows = c.rows + excluded.rows';
  changed text := CASE TG_OP
    WHEN 'INSERT' THEN 'SELECT *, 1 AS n FROM added'
    WHEN 'DELETE' THEN 'SELECT *, -1 AS n FROM removed'
    WHEN 'UPDATE' THEN 'SELECT *, 1 AS n FROM added UNION ALL SELECT *, -1 FROM removed' END;
BEGIN
  IF TG_OP = 'UPDATE' THEN -- an upsert fires this one too, mostly with no row
    PERFORM FROM added LIMIT 1;
    IF NOT FOUND THEN RETURN NULL; END IF;
  END IF;
  IF TG_OP = 'TRUNCATE' THEN DELETE FROM row_counts WHERE relation = TG_ARGV[0];
  ELSE EXECUTE format(change, TG_ARGV[0], TG_ARGV[1], TG_ARGV[2], changed);
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION keep_count(counted regclass, relation text, at text, kind text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  arguments text := format('(%L, %L, %L)', relation, at, kind);
BEGIN
  EXECUTE format('CREATE TRIGGER %1$s_inserted AFTER INSERT ON %2$s REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_rows%3$s', relation, counted, arguments);
  EXECUTE format('CREATE TRIGGER %1$s_deleted AFTER DELETE ON %2$s REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION count_rows%3$s', relation, counted, arguments);
  EXECUTE format('CREATE TRIGGER %1$s_updated AFTER UPDATE ON %2$s REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_rows%3$s', relation, counted, arguments);
  EXECUTE format('CREATE TRIGGER %1$s_truncated AFTER TRUNCATE ON %2$s FOR EACH STATEMENT EXECUTE FUNCTION count_rows%3$s', relation, counted, arguments);
END $$;

-- The totals of `samvad status`. The kind is a JSON list: of conversations [route, review_status], of samples [source, module, language],
-- with the language cut, because it is part of a key and nothing else limits it.
SELECT keep_count('conversation_logs', 'conversations', $$'-infinity'::timestamptz$$, 'jsonb_build_array(route, review_status)::text');
SELECT keep_count('training_sample_rows', 'samples', $$'-infinity'::timestamptz$$, 'jsonb_build_array(source, module_type, left(language, 100))::text');
-- By class where nobody has answered yet. The kind 'second' waits for a second person only: where all review is in Label Studio, or there
-- is one reviewer, it waits for ever.
SELECT keep_count('review_queue', 'queue', $$'-infinity'::timestamptz$$, $$CASE WHEN answered_by = '[]' THEN priority_class::text ELSE 'second' END$$);
SELECT keep_count('conversation_logs', 'routes', $$date_trunc('hour', created_at, 'UTC')$$, 'route');
-- The kind is the twentieth of 0 to 1 in which the confidence lies, the last with 1 itself; empty without a confidence.
SELECT keep_count('conversation_logs', 'confidences', $$date_trunc('day', created_at, 'UTC')$$,
                  $$CASE WHEN nlu_confidence IS NULL THEN '' ELSE least(floor(nlu_confidence * 20), 19)::text END$$);
DROP FUNCTION keep_count;

-- Reviewers' work by the day (UTC) of the answer.
CREATE VIEW daily_review_effort AS
SELECT (reviewed_at AT TIME ZONE 'UTC')::date AS date, count(*) AS reviews, sum(ms) / 3600000.0 AS review_hours
  FROM review_effort
 GROUP BY 1;

-- A row for each day (UTC) with conversations or answers; rates and means of no conversation are null. The same numbers as in
-- `samvad status` and the daily report.
CREATE VIEW daily_training_stats AS
SELECT date,
       coalesce(c.conversations, 0) AS conversations,
       coalesce(c.auto_approved, 0) AS auto_approved,
       coalesce(c.needs_review, 0) AS needs_review,
       coalesce(c.priority_review, 0) AS priority_review,
       coalesce(c.reviewed, 0) AS reviewed,
       coalesce(c.waiting, 0) AS waiting,
       round(c.auto_approved::numeric / c.conversations, 4) AS auto_approval_rate,
       c.average_confidence,
       round(c.llm_fallbacks::numeric / c.conversations, 4) AS llm_fallback_rate,
       coalesce(s.samples, 0) AS training_samples,
       coalesce(c.llm_fallbacks, 0) AS llm_fallbacks,
       coalesce(c.with_confidence, 0) AS with_confidence,
       coalesce(e.reviews, 0) AS reviews,
       coalesce(e.review_hours, 0) AS review_hours
  FROM (SELECT (created_at AT TIME ZONE 'UTC')::date AS date,
               count(*) AS conversations,
               count(*) FILTER (WHERE route = 'auto-approved') AS auto_approved,
               count(*) FILTER (WHERE route = 'needs-review') AS needs_review,
               count(*) FILTER (WHERE route = 'priority-review') AS priority_review,
               count(*) FILTER (WHERE verdict IS NOT NULL) AS reviewed,
               count(*) FILTER (WHERE review_status = 'needs-review') AS waiting,
               count(*) FILTER (WHERE nlu_provider = 'llm') AS llm_fallbacks,
               count(nlu_confidence) AS with_confidence,
               avg(nlu_confidence) AS average_confidence
          FROM conversation_logs
         GROUP BY 1) c
  LEFT JOIN (SELECT (created_at AT TIME ZONE 'UTC')::date AS date, count(*) AS samples FROM training_sample_rows GROUP BY 1) s USING (date)
  FULL JOIN daily_review_effort e USING (date);
COMMENT ON COLUMN daily_training_stats.training_samples IS 'samples that stand of that day''s conversations, whenever they were approved';

-- The report of each closed day (UTC), made from the log. `report` is text, to keep it byte for byte; `report::json` reads it.
CREATE TABLE daily_reports (
  day           text PRIMARY KEY,
  closed_at     timestamptz NOT NULL,
  report        text NOT NULL,
  log_partition int NOT NULL,
  log_offset    bigint NOT NULL
);
