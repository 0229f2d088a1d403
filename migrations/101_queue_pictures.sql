-- The column fingerprint is no longer that of the record: it tells 👍 from 👎 (policy/review-priority.ts, groupKey). So the table is
-- filled anew.
TRUNCATE review_queue;
DELETE FROM projection_offsets WHERE projection = 'review-queue';
