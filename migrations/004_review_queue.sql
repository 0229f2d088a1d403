-- The conversations that wait for a person, unranked, as the log has them.
CREATE TABLE review_queue (
  conversation_id text PRIMARY KEY,
  user_message    text NOT NULL,
  language        text NOT NULL,
  nlu_intent      text NOT NULL,
  nlu_module      text NOT NULL,
  nlu_confidence  float8,
  nlu_provider    text NOT NULL,
  model_version   text,
  runners_up      jsonb NOT NULL,
  entities        jsonb NOT NULL,
  priority_class  smallint NOT NULL CHECK (priority_class BETWEEN 1 AND 3),
  -- How useful a label is (policy/review-priority.ts), and the group of equal messages.
  score           float8 NOT NULL,
  reasons         jsonb NOT NULL,
  fingerprint     text NOT NULL,
  -- Near-duplicates share one of these strings (policy/near-duplicates.ts), as equal messages always do.
  sketch          jsonb NOT NULL,
  -- Drawn by chance: an audit, or one of a share of the rest.
  drawn           boolean NOT NULL,
  answered_by     jsonb NOT NULL,
  policy_version  text NOT NULL,
  created_at      timestamptz NOT NULL,
  log_partition   int NOT NULL,
  log_offset      bigint NOT NULL
);
CREATE INDEX review_queue_fingerprint ON review_queue (fingerprint);
CREATE INDEX review_queue_sketch ON review_queue USING gin (sketch);
-- The oldest unanswered item of each class.
CREATE INDEX review_queue_oldest ON review_queue (priority_class, created_at) WHERE answered_by = '[]';

-- The prediction of the version in production for an item that was queued before it.
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

-- What the order goes by (docs/queue-order.md). A lane is in the order of rank_by, shuffled, created_at, conversation_id. Whoever wants a
-- few items sorts by these and does without the places, for which the whole queue is sorted once more for each lane.
--
-- rank_by is one number in place of several sort keys. Main lane: by class (1 priority review, 2 needs review), the first of each group of
-- equal messages before the others, then by score (0 to 1), of production where it is known. Drawn lane: the latest day (UTC) first, and
-- within a day by a hash, so that what is answered of a day is a random sample of it, whenever people work; oldest first, the lane would
-- fall ever further behind where people can't keep up. All of it depends only on what waits, never on the order of arrival.
--
-- The window begins with the fingerprint, because Postgres compares only the first key by its first bytes.
CREATE VIEW review_keys AS
SELECT ranked.*,
       CASE WHEN drawn THEN -date_part('epoch', date_trunc('day', created_at AT TIME ZONE 'UTC'))
            ELSE 4 * priority_class + 2 * (duplicates_before > 0)::int - score END AS rank_by,
       CASE WHEN drawn THEN md5(conversation_id) END AS shuffled
  FROM (SELECT q.conversation_id, q.drawn, q.priority_class, nlu_module, nlu_intent, language, q.fingerprint, q.answered_by, q.created_at,
               coalesce(s.score, q.score) AS score,
               row_number() OVER (PARTITION BY q.fingerprint, q.drawn ORDER BY q.created_at, q.conversation_id) - 1 AS duplicates_before
          FROM review_queue q LEFT JOIN queue_scores s ON s.conversation_id = q.conversation_id) ranked;

-- The two lanes in one order: every eighth place belongs to the drawn lane, so that audits are answered in step with the rest. Only for
-- the programs: it tells which items are drawn, which reviewers must not see.
CREATE VIEW review_ranking AS
WITH lanes AS (
  SELECT conversation_id, drawn, priority_class, nlu_module, nlu_intent, language, fingerprint, answered_by, created_at, score, duplicates_before,
         row_number() OVER (PARTITION BY drawn ORDER BY rank_by, shuffled, created_at, conversation_id) AS place_in_lane
    FROM review_keys
)
SELECT row_number() OVER (ORDER BY place_in_lane * CASE WHEN drawn THEN 56 ELSE 8 END, drawn) AS review_priority, lanes.*
  FROM lanes;

-- A waiting conversation as a reviewer may see it: without route and confidence where it was drawn by chance.
CREATE VIEW shown_queue AS
SELECT conversation_id, user_message, language, nlu_intent, nlu_module,
       CASE WHEN NOT drawn THEN nlu_confidence END AS nlu_confidence,
       CASE WHEN NOT drawn THEN nlu_provider END AS nlu_provider,
       CASE WHEN NOT drawn THEN model_version END AS model_version,
       entities,
       CASE WHEN NOT drawn THEN runners_up
            ELSE (SELECT coalesce(jsonb_agg(label - 'confidence' ORDER BY nth), '[]')
                    FROM jsonb_array_elements(runners_up) WITH ORDINALITY AS labels (label, nth)) END AS runners_up,
       CASE WHEN NOT drawn THEN CASE priority_class WHEN 1 THEN 'priority-review' ELSE 'needs-review' END END AS route,
       CASE WHEN NOT drawn THEN score END AS score,
       reasons, fingerprint, drawn, policy_version, created_at
  FROM review_queue;

-- The queue as people query it: review_priority 1 is first.
CREATE VIEW training_queue AS
SELECT r.review_priority, s.*, CASE WHEN r.answered_by = '[]' THEN 'needs-review' ELSE 'needs-second-review' END AS review_status, r.duplicates_before
  FROM review_ranking r JOIN shown_queue s USING (conversation_id);

-- Any conversation as a reviewer may see it. While one that was drawn by chance waits, nothing in it tells whether it is an audit:
-- the person who is to answer could look it up. That includes where it was sent and how long that took, because conversations with a
-- low confidence may go another way and take longer.
CREATE VIEW shown_conversations AS
SELECT c.conversation_id, user_id, session_id, c.user_message, c.language, c.nlu_intent, c.nlu_module,
       CASE WHEN NOT blind THEN c.nlu_confidence END AS nlu_confidence,
       CASE WHEN NOT blind THEN c.nlu_provider END AS nlu_provider,
       CASE WHEN NOT blind THEN c.model_version END AS model_version,
       c.entities,
       CASE WHEN NOT blind THEN routing_target END AS routing_target,
       response_success,
       CASE WHEN NOT blind THEN processing_time_ms END AS processing_time_ms,
       CASE WHEN NOT blind THEN c.route END AS route,
       CASE WHEN blind THEN '["drawn-by-chance"]' ELSE route_reasons END AS route_reasons,
       c.policy_version,
       CASE WHEN NOT blind THEN audit END AS audit,
       CASE WHEN NOT blind THEN audit_propensity END AS audit_propensity,
       CASE WHEN NOT blind THEN review_status
            WHEN verdict IS NULL THEN 'needs-review'
            WHEN verdict = 'skip' THEN 'skipped'
            ELSE review_status END AS review_status,
       CASE WHEN NOT blind THEN review_priority END AS review_priority,
       verdict, corrected_intent, corrected_module, reviewer, reviewed_at, revision, overlap, standing_since,
       CASE WHEN NOT blind THEN c.runners_up
            ELSE (SELECT coalesce(jsonb_agg(label - 'confidence' ORDER BY nth), '[]')
                    FROM jsonb_array_elements(c.runners_up) WITH ORDINALITY AS labels (label, nth)) END AS runners_up,
       c.created_at, updated_at, c.log_partition, c.log_offset, blind
  FROM (SELECT l.*, EXISTS (SELECT FROM review_queue q WHERE q.conversation_id = l.conversation_id AND q.drawn) AS blind
          FROM conversation_logs l) c;

-- Which item is lent to whom, so that two people never get the same one. Not made from the log: losing a row costs a second answer.
CREATE TABLE review_leases (
  conversation_id text PRIMARY KEY,
  reviewer        text NOT NULL,
  -- One open page or terminal; a person may have several.
  session         text NOT NULL,
  -- The item whose answer this one gets; the item itself where it stands alone.
  led_by          text NOT NULL,
  leased_at       timestamptz NOT NULL,
  expires_at      timestamptz NOT NULL,
  -- Set when the answer is safe; the item then stays away from others until it has left the queue.
  answered_at     timestamptz,
  -- Set when an answer was undone and given again: the queue may see the first answer, and then the undo.
  taken_back      boolean NOT NULL DEFAULT false
);
CREATE INDEX review_leases_session ON review_leases (session);

-- How many items each reviewer was given: every eighth is a drawn one.
CREATE TABLE review_turns (
  reviewer text PRIMARY KEY,
  turns    bigint NOT NULL
);
