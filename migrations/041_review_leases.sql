-- Who works on what, so that two people never get the same item. Not made from the log: losing it costs a second answer.

CREATE TABLE review_leases (
  conversation_id text PRIMARY KEY,
  reviewer        text NOT NULL,
  -- One open page or terminal; a person may have several.
  session         text NOT NULL,
  -- The item that this one is answered with, itself where it stands alone.
  led_by          text NOT NULL,
  leased_at       timestamptz NOT NULL,
  expires_at      timestamptz NOT NULL,
  -- Set when the answer is safe; the item then stays away from others until the log has taken it out of the queue.
  answered_at     timestamptz
);
CREATE INDEX review_leases_session ON review_leases (session);

-- How many items each reviewer was given: every eighth comes from the lane that chance has drawn.
CREATE TABLE review_turns (
  reviewer text PRIMARY KEY,
  turns    bigint NOT NULL
);
