-- What somebody has answered and what waits for a second person is no more `needs-review` in the queue as people query it.
CREATE OR REPLACE VIEW training_queue AS
SELECT r.review_priority, s.*, CASE WHEN r.answered_by = '[]' THEN 'needs-review' ELSE 'needs-second-review' END AS review_status, r.duplicates_before
  FROM review_ranking r JOIN shown_queue s USING (conversation_id);
