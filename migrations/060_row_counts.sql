-- How many rows the large tables have, kept by triggers: the dashboard asks every two seconds, and counting takes as long as the
-- table is large. Each log partition has counts of its own, which only whoever writes the partition touches, so that writers
-- never wait for each other. Made from the tables, in the transactions that change them.

CREATE TABLE row_counts (
  relation      text NOT NULL,
  -- The hour or day (UTC) of the rows where they are counted by time; -infinity where they are not.
  at            timestamptz NOT NULL,
  log_partition int NOT NULL,
  kind          text NOT NULL,
  rows          bigint NOT NULL,
  PRIMARY KEY (relation, at, log_partition, kind)
) WITH (fillfactor = 50);

-- Arguments: the relation, and of a row its time and its kind as SQL.
CREATE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  change CONSTANT text := '
    INSERT INTO row_counts AS c (relation, at, log_partition, kind, rows)
    SELECT %L, %s, log_partition, %s, sum(n) FROM (%s) AS changed GROUP BY 2, 3, 4 HAVING sum(n) <> 0 ORDER BY 2, 3, 4
    ON CONFLICT (relation, at, log_partition, kind) DO UPDATE SET rows = c.rows + excluded.rows';
  changed text := CASE TG_OP
    WHEN 'INSERT' THEN 'SELECT *, 1 AS n FROM added'
    WHEN 'DELETE' THEN 'SELECT *, -1 AS n FROM removed'
    WHEN 'UPDATE' THEN 'SELECT *, 1 AS n FROM added UNION ALL SELECT *, -1 FROM removed' END;
BEGIN
  IF TG_OP = 'UPDATE' THEN -- an upsert fires this one too, mostly with no row
    PERFORM FROM added LIMIT 1;
    IF NOT FOUND THEN RETURN NULL; END IF;
  END IF;
  IF TG_OP = 'TRUNCATE' THEN DELETE FROM row_counts WHERE relation = TG_ARGV[0];
  ELSE EXECUTE format(change, TG_ARGV[0], TG_ARGV[1], TG_ARGV[2], changed);
  END IF;
  RETURN NULL;
END $$;

-- Counts the rows of a table from now on, those that are there too.
CREATE FUNCTION keep_count(counted regclass, relation text, at text, kind text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  arguments text := format('(%L, %L, %L)', relation, at, kind);
BEGIN
  EXECUTE format('CREATE TRIGGER %1$s_inserted AFTER INSERT ON %2$s REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_rows%3$s', relation, counted, arguments);
  EXECUTE format('CREATE TRIGGER %1$s_deleted AFTER DELETE ON %2$s REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION count_rows%3$s', relation, counted, arguments);
  EXECUTE format('CREATE TRIGGER %1$s_updated AFTER UPDATE ON %2$s REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_rows%3$s', relation, counted, arguments);
  EXECUTE format('CREATE TRIGGER %1$s_truncated AFTER TRUNCATE ON %2$s FOR EACH STATEMENT EXECUTE FUNCTION count_rows%3$s', relation, counted, arguments);
  EXECUTE format('INSERT INTO row_counts SELECT %L, %s, log_partition, %s, count(*) FROM %s GROUP BY 2, 3, 4', relation, at, kind, counted);
END $$;

SELECT keep_count('conversation_logs', 'conversations', $$'-infinity'::timestamptz$$, $$''$$);
SELECT keep_count('conversation_logs', 'routes', $$date_trunc('hour', created_at, 'UTC')$$, 'route');
-- The kind is the twentieth of 0 to 1 in which the confidence is, the last with 1 itself; empty without a confidence.
SELECT keep_count('conversation_logs', 'confidences', $$date_trunc('day', created_at, 'UTC')$$,
                  $$CASE WHEN nlu_confidence IS NULL THEN '' ELSE least(floor(nlu_confidence * 20), 19)::text END$$);
SELECT keep_count('training_sample_rows', 'samples', $$'-infinity'::timestamptz$$, 'source');
SELECT keep_count('review_queue', 'queue', $$'-infinity'::timestamptz$$, 'priority_class::text');
DROP FUNCTION keep_count;

-- Since when the oldest of each class waits.
CREATE INDEX review_queue_oldest ON review_queue (priority_class, created_at);
