-- Figures that are asked for often read what they are about, and a day on which people only answered has a row.

-- The totals of `samvad status` and /v1/status: the kind is a JSON list, of conversations [route, review_status], of samples
-- [source, module, language]; the language, which nothing else bounds, is cut, because it stands in a key.
DROP TRIGGER conversations_inserted ON conversation_logs;
DROP TRIGGER conversations_deleted ON conversation_logs;
DROP TRIGGER conversations_updated ON conversation_logs;
DROP TRIGGER samples_inserted ON training_sample_rows;
DROP TRIGGER samples_deleted ON training_sample_rows;
DROP TRIGGER samples_updated ON training_sample_rows;
DELETE FROM row_counts WHERE relation IN ('conversations', 'samples');

CREATE FUNCTION keep_count(counted regclass, relation text, kind text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  arguments text := format('(%L, %L, %L)', relation, $s$'-infinity'::timestamptz$s$, kind);
BEGIN
  EXECUTE format('CREATE TRIGGER %1$s_inserted AFTER INSERT ON %2$s REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_rows%3$s', relation, counted, arguments);
  EXECUTE format('CREATE TRIGGER %1$s_deleted AFTER DELETE ON %2$s REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION count_rows%3$s', relation, counted, arguments);
  EXECUTE format('CREATE TRIGGER %1$s_updated AFTER UPDATE ON %2$s REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_rows%3$s', relation, counted, arguments);
  EXECUTE format('INSERT INTO row_counts SELECT %L, %L::timestamptz, log_partition, %s, count(*) FROM %s GROUP BY 2, 3, 4', relation, '-infinity', kind, counted);
END $$;
SELECT keep_count('conversation_logs', 'conversations', 'jsonb_build_array(route, review_status)::text');
SELECT keep_count('training_sample_rows', 'samples', 'jsonb_build_array(source, module_type, left(language, 100))::text');
DROP FUNCTION keep_count;

-- As before, with one pass over the opinions, so that a condition on conversation_id reaches the reviews.
CREATE OR REPLACE VIEW review_agreement AS
SELECT conversation_id, language, first_reviewer, first_label, second_reviewer, second_label, first_label = second_label AS agree, reviewed_at
  FROM (SELECT conversation_id, language, reviewer AS first_reviewer, label AS first_label,
               lead(reviewer) OVER later AS second_reviewer, lead(label) OVER later AS second_label, lead(reviewed_at) OVER later AS reviewed_at,
               row_number() OVER later AS nth
          FROM (SELECT DISTINCT ON (r.conversation_id, r.reviewer)
                       r.conversation_id, r.reviewer, r.reviewed_at, r.log_offset, c.language,
                       CASE r.verdict WHEN 'approve' THEN c.nlu_module || '/' || c.nlu_intent
                                      WHEN 'correct' THEN r.corrected_module || '/' || r.corrected_intent
                                      ELSE 'rejected' END AS label
                  FROM standing_reviews r JOIN conversation_logs c USING (conversation_id)
                 WHERE c.overlap AND r.verdict <> 'skip'
                 ORDER BY r.conversation_id, r.reviewer, r.log_offset) opinions
        WINDOW later AS (PARTITION BY conversation_id ORDER BY log_offset)) numbered
 WHERE nth = 1 AND second_reviewer IS NOT NULL;

-- What each answer took (083_review_effort.sql), so that a few days of it can be read by the index on reviewed_at.
CREATE VIEW review_effort AS
SELECT reviewed_at, least(coalesce(time_taken_ms, 20000), 600000) AS ms
  FROM conversation_reviews
 WHERE NOT (verdict = 'skip' AND withdraws IS NOT NULL);

CREATE OR REPLACE VIEW daily_review_effort AS
SELECT (reviewed_at AT TIME ZONE 'UTC')::date AS date, count(*) AS reviews, sum(ms) / 3600000.0 AS review_hours
  FROM review_effort
 GROUP BY 1;

-- A row for each day (UTC) with conversations or answers. Rates and means of no conversation are null.
CREATE OR REPLACE VIEW daily_training_stats AS
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
