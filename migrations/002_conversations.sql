-- A conversation with its latest routing decision and review.
CREATE TABLE conversation_logs (
  conversation_id    text PRIMARY KEY,
  user_id            text,
  session_id         text,
  user_message       text NOT NULL,
  language           text NOT NULL,
  nlu_intent         text NOT NULL,
  nlu_module         text NOT NULL,
  nlu_confidence     float8 CHECK (nlu_confidence BETWEEN 0 AND 1),
  nlu_provider       text NOT NULL,
  model_version      text,
  runners_up         jsonb NOT NULL,
  entities           jsonb NOT NULL,
  routing_target     text,
  response_success   boolean,
  processing_time_ms int CHECK (processing_time_ms >= 0),
  route              text NOT NULL CHECK (route IN ('auto-approved', 'needs-review', 'priority-review')),
  route_reasons      jsonb NOT NULL,
  policy_version     text NOT NULL,
  audit              boolean NOT NULL,
  audit_propensity   float8 CHECK (audit_propensity BETWEEN 0 AND 1),
  overlap            boolean NOT NULL,
  review_status      text NOT NULL CHECK (review_status IN ('auto-approved', 'needs-review', 'approved', 'rejected', 'skipped')),
  review_priority    smallint CHECK (review_priority BETWEEN 1 AND 3),
  verdict            text CHECK (verdict IN ('approve', 'correct', 'reject', 'skip')),
  corrected_intent   text,
  corrected_module   text,
  reviewer           text,
  reviewed_at        timestamptz,
  standing_since     timestamptz,
  revision           int NOT NULL,
  created_at         timestamptz NOT NULL,
  updated_at         timestamptz NOT NULL,
  log_partition      int NOT NULL,
  log_offset         bigint NOT NULL
);
CREATE INDEX conversation_logs_created_at ON conversation_logs (created_at DESC);
CREATE INDEX conversation_logs_reviewed_at ON conversation_logs (reviewed_at) WHERE reviewed_at IS NOT NULL;
CREATE INDEX conversation_logs_review_status ON conversation_logs (review_status);
CREATE INDEX conversation_logs_label ON conversation_logs (nlu_module, nlu_intent);
CREATE INDEX conversation_logs_corrected ON conversation_logs (corrected_module, corrected_intent) WHERE corrected_intent IS NOT NULL;
-- The corrections of a predicted intent: a few of its many rows.
CREATE INDEX conversation_logs_correction ON conversation_logs (nlu_module, nlu_intent) WHERE verdict = 'correct';

-- Every review in the log, superseded and withdrawn ones too.
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

-- Reviews without the withdrawn ones and without the withdrawals themselves.
CREATE VIEW standing_reviews AS
SELECT r.*
  FROM conversation_reviews r
 WHERE NOT (r.verdict = 'skip' AND r.withdraws IS NOT NULL)
   AND NOT EXISTS (SELECT FROM conversation_reviews w WHERE w.conversation_id = r.conversation_id AND w.withdraws = r.review_id);

-- For Cohen's kappa: a row for each overlap conversation that two people have judged. A label is module/intent or 'rejected'. The first
-- opinion of each person counts, because a later one may know the other's. One pass over the opinions, so that a condition on
-- conversation_id reaches the reviews.
CREATE VIEW review_agreement AS
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

-- The time each answer took, as measured where it was given: 20 s where it was not measured, and at most 10 minutes, because a page may
-- be left open. Superseded answers count, withdrawals do not.
CREATE VIEW review_effort AS
SELECT reviewed_at, least(coalesce(time_taken_ms, 20000), 600000) AS ms
  FROM conversation_reviews
 WHERE NOT (verdict = 'skip' AND withdraws IS NOT NULL);
