-- Work of reviewers by the day of the answer, as measured where the answer was given; 20 s where nobody has, and 10 minutes at
-- most, because a page may be left open. Every answer counts, superseded ones too; an undo is none.
CREATE OR REPLACE VIEW daily_review_effort AS
SELECT (reviewed_at AT TIME ZONE 'UTC')::date AS date,
       count(*) AS reviews,
       sum(least(coalesce(time_taken_ms, 20000), 600000)) / 3600000.0 AS review_hours
  FROM conversation_reviews
 WHERE NOT (verdict = 'skip' AND withdraws IS NOT NULL)
 GROUP BY 1;
