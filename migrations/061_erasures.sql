-- Which conversations were erased, made from the log. All else of them is gone from the tables that are made from it.
CREATE TABLE erasures (
  conversation_id text PRIMARY KEY,
  requested_by    text NOT NULL,
  reason          text NOT NULL,
  erased_at       timestamptz NOT NULL,
  log_partition   int NOT NULL,
  log_offset      bigint NOT NULL
);
