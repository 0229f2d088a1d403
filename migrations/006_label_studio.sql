-- What the Label Studio sync remembers of another system. These are no projections: `samvad rebuild` leaves them alone, and if they are
-- lost the next full scan makes them again from Label Studio (docs/label-studio.md).

-- A row for each project that was ever synchronised with.
CREATE TABLE labelstudio_projects (
  id                      int PRIMARY KEY,
  url                     text,
  label_studio_project_id int,
  title                   text NOT NULL,
  description             text NOT NULL,
  tasks_pushed            int NOT NULL DEFAULT 0,
  tasks_closed            int NOT NULL DEFAULT 0,
  annotations_fetched     int NOT NULL DEFAULT 0,
  reviews                 int NOT NULL DEFAULT 0,
  last_sync_at            timestamptz,
  -- Changes up to this time, by Label Studio's clock, were seen.
  scanned_to              timestamptz,
  full_scan_at            timestamptz,
  last_error              text,
  last_error_at           timestamptz,
  UNIQUE (url, label_studio_project_id)
);
INSERT INTO labelstudio_projects (id, title, description)
VALUES (1, 'Samvad intent review', 'Conversations that wait for a person, with the model''s prediction filled in');

-- The identity of this installation, written into the description of its project in Label Studio, so that no two share one.
CREATE TABLE labelstudio_installation (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  id  uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO labelstudio_installation DEFAULT VALUES;

CREATE TABLE labelstudio_tasks (
  project              int NOT NULL REFERENCES labelstudio_projects (id),
  conversation_id      text NOT NULL,
  -- Absent while it is not known whether Label Studio has the task.
  label_studio_task_id int,
  -- pushing: an import was begun. open: waits in Label Studio. answered: has an annotation. closed: taken out, or gone.
  -- refused: Label Studio does not take it.
  status               text NOT NULL CHECK (status IN ('pushing', 'open', 'answered', 'closed', 'refused')),
  -- What reviewers see of it depends on the lane in which it waits, and an answered item is no longer in the queue.
  shown                jsonb,
  -- At this revision in conversation_logs the conversation waited; only a later one can say that somebody has answered.
  waited_at_revision   int,
  updated_at           timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (project, conversation_id)
);
CREATE INDEX labelstudio_tasks_task ON labelstudio_tasks (project, label_studio_task_id);
CREATE INDEX labelstudio_tasks_status ON labelstudio_tasks (project, status);

-- The version of each annotation that was counted last.
CREATE TABLE labelstudio_annotations (
  project              int NOT NULL REFERENCES labelstudio_projects (id),
  annotation_id        int NOT NULL,
  label_studio_task_id int NOT NULL,
  conversation_id      text NOT NULL,
  version              text NOT NULL,
  review_id            text NOT NULL,
  verdict              text NOT NULL,
  withdrawn            boolean NOT NULL,
  -- The time it had taken at that version: for an edited annotation Label Studio tells the sum so far.
  lead_time_ms         int,
  PRIMARY KEY (project, annotation_id)
);
CREATE INDEX labelstudio_annotations_task ON labelstudio_annotations (project, label_studio_task_id);

-- Reviews that were counted and that Kafka has not acknowledged yet. Written in one transaction with the count, so that a review is always
-- sent with the same content, however often.
CREATE TABLE labelstudio_outbox (
  id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  review jsonb NOT NULL
);
