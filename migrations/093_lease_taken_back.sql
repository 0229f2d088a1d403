-- An answer that was taken back and given anew: the queue may have heard of the first answer only, and then of the undo.
ALTER TABLE review_leases ADD COLUMN taken_back boolean NOT NULL DEFAULT false;
