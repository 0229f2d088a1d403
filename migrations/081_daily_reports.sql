-- The report on each closed day (UTC), made from the log. `report` is text, to keep it byte for byte; `report::json` reads it.
CREATE TABLE daily_reports (
  day           text PRIMARY KEY,
  closed_at     timestamptz NOT NULL,
  report        text NOT NULL,
  log_partition int NOT NULL,
  log_offset    bigint NOT NULL
);
