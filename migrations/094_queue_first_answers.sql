-- The figures of the queue are of what nobody has answered yet. What waits for a second person only is of the kind 'second': where all
-- review is in Label Studio, or there is one reviewer, it waits for ever.
DROP TRIGGER queue_inserted ON review_queue;
DROP TRIGGER queue_deleted ON review_queue;
DROP TRIGGER queue_updated ON review_queue;

CREATE TRIGGER queue_inserted AFTER INSERT ON review_queue REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION count_rows('queue', $$'-infinity'::timestamptz$$, $$CASE WHEN answered_by = '[]' THEN priority_class::text ELSE 'second' END$$);
CREATE TRIGGER queue_deleted AFTER DELETE ON review_queue REFERENCING OLD TABLE AS removed
  FOR EACH STATEMENT EXECUTE FUNCTION count_rows('queue', $$'-infinity'::timestamptz$$, $$CASE WHEN answered_by = '[]' THEN priority_class::text ELSE 'second' END$$);
CREATE TRIGGER queue_updated AFTER UPDATE ON review_queue REFERENCING OLD TABLE AS removed NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION count_rows('queue', $$'-infinity'::timestamptz$$, $$CASE WHEN answered_by = '[]' THEN priority_class::text ELSE 'second' END$$);

DELETE FROM row_counts WHERE relation = 'queue';
INSERT INTO row_counts
SELECT 'queue', '-infinity'::timestamptz, log_partition, CASE WHEN answered_by = '[]' THEN priority_class::text ELSE 'second' END, count(*)
  FROM review_queue GROUP BY 2, 3, 4;

DROP INDEX review_queue_oldest;
CREATE INDEX review_queue_oldest ON review_queue (priority_class, created_at) WHERE answered_by = '[]';
