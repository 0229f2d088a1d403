-- Every review is kept; two people answer a share of what waits; nothing in the queue tells an audit from other items.
-- The tables that change are made from the log and are filled from it again.

ALTER TABLE policies ADD COLUMN overlap_share float8 NOT NULL DEFAULT 0 CHECK (overlap_share BETWEEN 0 AND 1);

TRUNCATE conversation_logs;
ALTER TABLE conversation_logs
  ADD COLUMN overlap boolean NOT NULL,
  ADD COLUMN standing_since timestamptz,
  ADD COLUMN runners_up jsonb NOT NULL;
CREATE INDEX conversation_logs_label ON conversation_logs (nlu_module, nlu_intent);
CREATE INDEX conversation_logs_corrected ON conversation_logs (corrected_module, corrected_intent) WHERE corrected_intent IS NOT NULL;

-- updated_at is the time of the newest event in the row, an undo too.
CREATE OR REPLACE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_TABLE_NAME = 'conversation_logs' THEN
    NEW.updated_at := greatest(NEW.created_at, NEW.reviewed_at, NEW.standing_since);
  ELSE
    NEW.updated_at := greatest(NEW.created_at, NEW.approved_at);
  END IF;
  RETURN NEW;
END $$;

-- A row for each review in the log, superseded and withdrawn ones too.
CREATE TABLE conversation_reviews (
  place            text PRIMARY KEY,
  conversation_id  text NOT NULL,
  review_id        text,
  verdict          text NOT NULL CHECK (verdict IN ('approve', 'correct', 'reject', 'skip')),
  corrected_intent text,
  corrected_module text,
  reviewer         text NOT NULL,
  source           text,
  time_taken_ms    int,
  shown            jsonb,
  withdraws        text,
  reviewed_at      timestamptz NOT NULL,
  log_partition    int NOT NULL,
  log_offset       bigint NOT NULL
);
CREATE INDEX conversation_reviews_conversation ON conversation_reviews (conversation_id, log_offset);
CREATE INDEX conversation_reviews_reviewed_at ON conversation_reviews (reviewed_at);

-- The reviews that nobody withdrew and that say something of their own.
CREATE VIEW standing_reviews AS
SELECT r.*
  FROM conversation_reviews r
 WHERE NOT (r.verdict = 'skip' AND r.withdraws IS NOT NULL)
   AND NOT EXISTS (SELECT FROM conversation_reviews w WHERE w.conversation_id = r.conversation_id AND w.withdraws = r.review_id);

-- For Cohen's kappa: a row for each conversation that two people were asked about and both judged. A label is module/intent,
-- or 'rejected'. The first opinion of each counts: later ones may know of the other.
CREATE VIEW review_agreement AS
WITH opinions AS (
  SELECT DISTINCT ON (r.conversation_id, r.reviewer)
         r.conversation_id, r.reviewer, r.reviewed_at, r.log_offset, c.language,
         CASE r.verdict WHEN 'approve' THEN c.nlu_module || '/' || c.nlu_intent
                        WHEN 'correct' THEN r.corrected_module || '/' || r.corrected_intent
                        ELSE 'rejected' END AS label
    FROM standing_reviews r JOIN conversation_logs c USING (conversation_id)
   WHERE c.overlap AND r.verdict <> 'skip'
   ORDER BY r.conversation_id, r.reviewer, r.log_offset
), numbered AS (
  SELECT o.*, row_number() OVER (PARTITION BY conversation_id ORDER BY log_offset) AS nth FROM opinions o
)
SELECT a.conversation_id, a.language, a.reviewer AS first_reviewer, a.label AS first_label,
       b.reviewer AS second_reviewer, b.label AS second_label, a.label = b.label AS agree, b.reviewed_at
  FROM numbered a JOIN numbered b ON b.conversation_id = a.conversation_id AND b.nth = 2
 WHERE a.nth = 1;

DROP VIEW training_queue;
TRUNCATE review_queue;
ALTER TABLE review_queue
  ADD COLUMN model_version text,
  ADD COLUMN runners_up jsonb NOT NULL,
  ADD COLUMN drawn boolean NOT NULL,
  ADD COLUMN answered_by jsonb NOT NULL;

-- What waits, in two lanes. Main lane: by class (1 priority review, 2 needs review), the first message of each fingerprint
-- before its near-duplicates, then by score plus a bonus of up to 0.2 for intents and languages that are rare among what
-- waits, then the oldest. The lane of what chance has drawn (all audits and a share of the rest): the oldest first. Every
-- eighth place belongs to the second lane, so that audits are answered in step with the rest. All of it depends on the set
-- that waits only, never on the order in which it came. Only for the programs: it has what reviewers must not see.
CREATE VIEW review_ranking AS
WITH ranked AS (
  SELECT q.*,
         row_number() OVER (PARTITION BY drawn, fingerprint ORDER BY created_at, conversation_id) - 1 AS duplicates_before,
         0.1 / count(*) OVER (PARTITION BY nlu_module, nlu_intent) + 0.1 / count(*) OVER (PARTITION BY language) AS rarity
    FROM review_queue q
), lanes AS (
  SELECT ranked.*,
         CASE WHEN drawn THEN row_number() OVER (PARTITION BY drawn ORDER BY created_at, conversation_id)
              ELSE row_number() OVER (PARTITION BY drawn
                                      ORDER BY priority_class, duplicates_before > 0, score + rarity DESC, created_at, conversation_id)
         END AS place_in_lane
    FROM ranked
)
SELECT row_number() OVER (ORDER BY place_in_lane * CASE WHEN drawn THEN 56 ELSE 8 END, drawn) AS review_priority, lanes.*
  FROM lanes;

-- What waits, as a reviewer may see it: what chance has drawn shows neither route nor confidence.
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

-- The queue as people query it: in order, 1 first.
CREATE VIEW training_queue AS
SELECT r.review_priority, s.*, 'needs-review'::text AS review_status, r.rarity, r.duplicates_before
  FROM review_ranking r JOIN shown_queue s USING (conversation_id);

DELETE FROM projection_offsets WHERE projection IN ('conversation-logs', 'review-queue');
