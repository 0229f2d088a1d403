-- The column fingerprint is no longer that of the record: it tells 👍 from 👎 (policy/review-priority.ts, groupKey). So each row is
-- written anew from the log, over the present one: the queue is at no time empty.
DELETE FROM projection_offsets WHERE projection = 'review-queue';
UPDATE review_queue SET log_offset = -1;
