-- How far each projection has read its topic. A batch of rows and these offsets are committed in one transaction.
CREATE TABLE projection_offsets (
  projection  text NOT NULL,
  topic       text NOT NULL,
  partition   int NOT NULL,
  next_offset bigint NOT NULL,
  -- Increases whenever a process takes the partition over; a process with a lower epoch can no longer write.
  epoch       bigint NOT NULL,
  PRIMARY KEY (projection, topic, partition)
);

-- The adopted routing policies, one row a version. The built-in routing-v1 has no row and is in force until the first of them; after
-- that the row with the highest log_offset is in force.
CREATE TABLE policies (
  version       text PRIMARY KEY,
  trust         float8 NOT NULL CHECK (trust BETWEEN 0 AND 1),
  doubt         float8 NOT NULL CHECK (doubt BETWEEN 0 AND trust),
  exceptions    jsonb NOT NULL,
  audit_share   float8 NOT NULL CHECK (audit_share BETWEEN 0 AND 1),
  audit_salt    text NOT NULL,
  overlap_share float8 NOT NULL CHECK (overlap_share BETWEEN 0 AND 1),
  adopted_by    text NOT NULL,
  reason        text NOT NULL,
  adopted_at    timestamptz NOT NULL,
  log_partition int NOT NULL,
  log_offset    bigint NOT NULL
);

-- The erased conversations: this row is all that is left of one in the tables made from the log.
CREATE TABLE erasures (
  conversation_id text PRIMARY KEY,
  requested_by    text NOT NULL,
  reason          text NOT NULL,
  erased_at       timestamptz NOT NULL,
  log_partition   int NOT NULL,
  log_offset      bigint NOT NULL
);
