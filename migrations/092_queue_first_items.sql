-- The same order, so that its first items cost little. `review_keys` has what the order goes by; whoever wants a few items sorts by it
-- and leaves out the places, for which the whole queue is sorted once more for each lane.
--
-- A lane is in the order of rank_by, shuffled, created_at, conversation_id. rank_by is one number in place of several sort keys: in the
-- main lane class, then near-duplicates behind, then the score (0 to 1); in the drawn one the day (UTC), the latest first. The window
-- begins with the fingerprint, because Postgres compares the first key only by its first bytes.
CREATE VIEW review_keys AS
SELECT ranked.*,
       CASE WHEN drawn THEN -date_part('epoch', date_trunc('day', created_at AT TIME ZONE 'UTC'))
            ELSE 4 * priority_class + 2 * (duplicates_before > 0)::int - score END AS rank_by,
       CASE WHEN drawn THEN md5(conversation_id) END AS shuffled
  FROM (SELECT q.conversation_id, q.drawn, q.priority_class, nlu_module, nlu_intent, language, q.fingerprint, q.answered_by, q.created_at,
               coalesce(s.score, q.score) AS score,
               row_number() OVER (PARTITION BY q.fingerprint, q.drawn ORDER BY q.created_at, q.conversation_id) - 1 AS duplicates_before
          FROM review_queue q LEFT JOIN queue_scores s ON s.conversation_id = q.conversation_id) ranked;

CREATE OR REPLACE VIEW review_ranking AS
WITH lanes AS (
  SELECT conversation_id, drawn, priority_class, nlu_module, nlu_intent, language, fingerprint, answered_by, created_at, score, duplicates_before,
         row_number() OVER (PARTITION BY drawn ORDER BY rank_by, shuffled, created_at, conversation_id) AS place_in_lane
    FROM review_keys
)
SELECT row_number() OVER (ORDER BY place_in_lane * CASE WHEN drawn THEN 56 ELSE 8 END, drawn) AS review_priority, lanes.*
  FROM lanes;

-- What people made of a prediction before: a few rows of the many that have it.
CREATE INDEX conversation_logs_correction ON conversation_logs (nlu_module, nlu_intent) WHERE verdict = 'correct';
