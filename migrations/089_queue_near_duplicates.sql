-- Near-duplicates by n-gram similarity: two items are alike when their sketches (policy/near-duplicates.ts) share a string, as
-- equal ones always do. Made from the message, so the table is filled anew from the log.
TRUNCATE review_queue;
ALTER TABLE review_queue ADD COLUMN sketch jsonb NOT NULL;
CREATE INDEX review_queue_sketch ON review_queue USING gin (sketch);
DELETE FROM projection_offsets WHERE projection = 'review-queue';
