-- While what chance has drawn waits, where it was sent on to and how long that took are not shown either: what the service was unsure
-- of may go another way and take longer.
CREATE OR REPLACE VIEW shown_conversations AS
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
