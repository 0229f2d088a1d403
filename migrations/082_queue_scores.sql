-- What the version in production says of what waits from before it, made from the log.
CREATE TABLE queue_scores (
  conversation_id text PRIMARY KEY,
  model_version   text NOT NULL,
  intent          text NOT NULL,
  module          text NOT NULL,
  confidence      float8 NOT NULL CHECK (confidence BETWEEN 0 AND 1),
  score           float8 NOT NULL,
  scored_at       timestamptz NOT NULL,
  log_partition   int NOT NULL,
  log_offset      bigint NOT NULL
);

-- The queue's order prefers the new score to the first one; all else is as it was.
CREATE OR REPLACE VIEW review_ranking AS
WITH ranked AS (
  SELECT q.*,
         row_number() OVER (PARTITION BY drawn, fingerprint ORDER BY created_at, conversation_id) - 1 AS duplicates_before,
         0.1 / count(*) OVER (PARTITION BY nlu_module, nlu_intent) + 0.1 / count(*) OVER (PARTITION BY language) AS rarity
    FROM review_queue q
), lanes AS (
  SELECT ranked.*,
         CASE WHEN drawn THEN row_number() OVER (PARTITION BY drawn ORDER BY created_at, ranked.conversation_id)
              ELSE row_number() OVER (PARTITION BY drawn
                                      ORDER BY priority_class, duplicates_before > 0, coalesce(s.score, ranked.score) + rarity DESC,
                                               created_at, ranked.conversation_id)
         END AS place_in_lane
    FROM ranked LEFT JOIN queue_scores s ON s.conversation_id = ranked.conversation_id
)
SELECT row_number() OVER (ORDER BY place_in_lane * CASE WHEN drawn THEN 56 ELSE 8 END, drawn) AS review_priority, lanes.*
  FROM lanes;
