-- The routing policies that came into force, one row a version, made from the log. The built-in routing-v1 has no row:
-- it holds until the first of these. The row with the highest log_offset is the policy in force.

CREATE TABLE policies (
  version       text PRIMARY KEY,
  trust         float8 NOT NULL CHECK (trust BETWEEN 0 AND 1),
  doubt         float8 NOT NULL CHECK (doubt BETWEEN 0 AND trust),
  exceptions    jsonb NOT NULL,
  audit_share   float8 NOT NULL CHECK (audit_share BETWEEN 0 AND 1),
  audit_salt    text NOT NULL,
  adopted_by    text NOT NULL,
  reason        text NOT NULL,
  adopted_at    timestamptz NOT NULL,
  log_partition int NOT NULL,
  log_offset    bigint NOT NULL
);
