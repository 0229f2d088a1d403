-- What chance has drawn waits with the latest day first, and within a day (UTC) by a hash. Oldest first, the lane falls ever
-- further behind where people can't keep up: production is judged by last week's answers, and a version on trial by none. Within a
-- day those answered are a sample of the day, whenever people work.
CREATE OR REPLACE VIEW review_ranking AS
WITH ranked AS (
  SELECT q.conversation_id, q.drawn, q.priority_class, nlu_module, nlu_intent, language, q.fingerprint, q.answered_by, q.created_at,
         coalesce(s.score, q.score) AS score,
         row_number() OVER (PARTITION BY q.drawn, q.fingerprint ORDER BY q.created_at, q.conversation_id) - 1 AS duplicates_before
    FROM review_queue q LEFT JOIN queue_scores s ON s.conversation_id = q.conversation_id
), lanes AS (
  SELECT ranked.*,
         row_number() OVER (PARTITION BY drawn
                            ORDER BY CASE WHEN drawn THEN (created_at AT TIME ZONE 'UTC')::date END DESC, CASE WHEN drawn THEN md5(conversation_id) END,
                                     CASE WHEN NOT drawn THEN priority_class END, CASE WHEN NOT drawn THEN duplicates_before > 0 END,
                                     CASE WHEN NOT drawn THEN score END DESC, created_at, conversation_id) AS place_in_lane
    FROM ranked
)
SELECT row_number() OVER (ORDER BY place_in_lane * CASE WHEN drawn THEN 56 ELSE 8 END, drawn) AS review_priority, lanes.*
  FROM lanes;
