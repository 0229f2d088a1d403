-- What reviewers see of a conversation depends on the lane that it waits in, and the queue forgets that with the answer.
ALTER TABLE labelstudio_tasks ADD COLUMN shown jsonb;
