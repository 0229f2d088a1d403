-- The same order, for less work: how rare an intent or a language is comes from two counts in place of two sorts of the whole
-- queue, and a lane is sorted once. Only what the programs ask for goes through the sorts.
DROP VIEW training_queue;
DROP VIEW review_ranking;

CREATE VIEW review_ranking AS
WITH intents AS (
  SELECT nlu_module, nlu_intent, 0.1::float8 / count(*) AS bonus FROM review_queue GROUP BY 1, 2
), languages AS (
  SELECT language, 0.1::float8 / count(*) AS bonus FROM review_queue GROUP BY 1
), ranked AS (
  SELECT q.conversation_id, q.drawn, q.priority_class, nlu_module, nlu_intent, language, q.fingerprint, q.answered_by, q.created_at,
         coalesce(s.score, q.score) AS score, i.bonus + l.bonus AS rarity,
         row_number() OVER (PARTITION BY q.drawn, q.fingerprint ORDER BY q.created_at, q.conversation_id) - 1 AS duplicates_before
    FROM review_queue q JOIN intents i USING (nlu_module, nlu_intent) JOIN languages l USING (language)
    LEFT JOIN queue_scores s ON s.conversation_id = q.conversation_id
), lanes AS (
  SELECT ranked.*,
         row_number() OVER (PARTITION BY drawn
                            ORDER BY CASE WHEN NOT drawn THEN priority_class END, CASE WHEN NOT drawn THEN duplicates_before > 0 END,
                                     CASE WHEN NOT drawn THEN score + rarity END DESC, created_at, conversation_id) AS place_in_lane
    FROM ranked
)
SELECT row_number() OVER (ORDER BY place_in_lane * CASE WHEN drawn THEN 56 ELSE 8 END, drawn) AS review_priority, lanes.*
  FROM lanes;

CREATE VIEW training_queue AS
SELECT r.review_priority, s.*, 'needs-review'::text AS review_status, r.rarity, r.duplicates_before
  FROM review_ranking r JOIN shown_queue s USING (conversation_id);

-- Near-duplicates of an item that is lent.
CREATE INDEX review_queue_fingerprint ON review_queue (fingerprint);

-- The column score is no longer that of the record (policy/review-priority.ts, usefulness), so the table is filled anew.
TRUNCATE review_queue;
DELETE FROM projection_offsets WHERE projection = 'review-queue';
