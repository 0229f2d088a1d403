-- When the weekly job was last done, in one row, so that one whose time went by while nothing ran is made up. Not made from the
-- log: where it is lost, weeks count anew from the next start.
CREATE TABLE weekly_job (
  one     boolean PRIMARY KEY DEFAULT true CHECK (one),
  done_at timestamptz NOT NULL
);
