-- What the key figures add up, day by day (UTC): the same numbers in this view, in `samvad status` and in the daily report.

CREATE INDEX conversation_logs_reviewed_at ON conversation_logs (reviewed_at) WHERE reviewed_at IS NOT NULL;

-- Work of reviewers by the day of the answer; 20 s an answer where nobody has measured it.
CREATE VIEW daily_review_effort AS
SELECT (reviewed_at AT TIME ZONE 'UTC')::date AS date,
       count(*) AS reviews,
       count(*) * 20 / 3600.0 AS review_hours
  FROM conversation_logs
 WHERE reviewed_at IS NOT NULL
 GROUP BY 1;

CREATE OR REPLACE VIEW daily_training_stats AS
SELECT c.date,
       c.conversations,
       c.auto_approved,
       c.needs_review,
       c.priority_review,
       c.reviewed,
       c.waiting,
       round(c.auto_approved::numeric / c.conversations, 4) AS auto_approval_rate,
       c.average_confidence,
       round(c.llm_fallbacks::numeric / c.conversations, 4) AS llm_fallback_rate,
       coalesce(s.samples, 0) AS training_samples,
       c.llm_fallbacks,
       c.with_confidence,
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
  LEFT JOIN daily_review_effort e USING (date);
