-- What waits for a person, in the order in which an answer is worth most; review_priority 1 is first.
-- Within a class (1 priority review, 2 needs review, 3 audit), the first message of each fingerprint goes before all
-- near-duplicates; then by score plus a bonus of up to 0.2 for intents and languages that are rare among what waits;
-- then the oldest. All of it depends on the set that waits only, never on the order in which it came.
CREATE VIEW training_queue AS
WITH ranked AS (
  SELECT q.*,
         row_number() OVER (PARTITION BY fingerprint ORDER BY created_at, conversation_id) - 1 AS duplicates_before,
         0.1 / count(*) OVER (PARTITION BY nlu_module, nlu_intent) + 0.1 / count(*) OVER (PARTITION BY language) AS rarity
    FROM review_queue q
)
SELECT row_number() OVER (ORDER BY priority_class, duplicates_before > 0, score + rarity DESC, created_at, conversation_id) AS review_priority,
       conversation_id, user_message, language, nlu_intent, nlu_module, nlu_confidence, nlu_provider, entities,
       'needs-review'::text AS review_status, priority_class, score, rarity, reasons, fingerprint, duplicates_before,
       policy_version, created_at
  FROM ranked;

-- A row for each day (UTC) with conversations.
CREATE VIEW daily_training_stats AS
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
       coalesce(s.samples, 0) AS training_samples
  FROM (SELECT (created_at AT TIME ZONE 'UTC')::date AS date,
               count(*) AS conversations,
               count(*) FILTER (WHERE route = 'auto-approved') AS auto_approved,
               count(*) FILTER (WHERE route = 'needs-review') AS needs_review,
               count(*) FILTER (WHERE route = 'priority-review') AS priority_review,
               count(*) FILTER (WHERE verdict IS NOT NULL) AS reviewed,
               count(*) FILTER (WHERE review_status = 'needs-review') AS waiting,
               count(*) FILTER (WHERE nlu_provider = 'llm') AS llm_fallbacks,
               avg(nlu_confidence) AS average_confidence
          FROM conversation_logs
         GROUP BY 1) c
  LEFT JOIN (SELECT (created_at AT TIME ZONE 'UTC')::date AS date, count(*) AS samples FROM training_samples GROUP BY 1) s USING (date);

-- Each version beside the one before it. Accuracies are shares of 0 to 1, improvement is their difference.
CREATE VIEW model_performance_comparison AS
SELECT version, status, traffic_percentage, test_accuracy, production_accuracy, average_latency_ms, fallback_rate, training_samples,
       lag(version) OVER earlier AS previous_version,
       test_accuracy - lag(test_accuracy) OVER earlier AS test_accuracy_improvement,
       production_accuracy - test_accuracy AS production_gap,
       created_at, deployed_at
  FROM model_versions
WINDOW earlier AS (ORDER BY created_at, version);
