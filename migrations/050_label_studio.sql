-- What the Label Studio sync remembers of another system. These are no projections: `samvad rebuild` leaves them alone, and when
-- they are lost the next full scan makes them again from Label Studio (see docs/label-studio.md).

-- A row for each project that was ever synchronised with; the first keeps its number and texts.
ALTER TABLE labelstudio_projects
  ADD COLUMN url             text,
  ADD COLUMN reviews         int NOT NULL DEFAULT 0,
  ADD COLUMN tasks_closed    int NOT NULL DEFAULT 0,
  -- Changes up to this time, by Label Studio's clock, were seen.
  ADD COLUMN scanned_to      timestamptz,
  ADD COLUMN full_scan_at    timestamptz,
  ADD COLUMN last_error      text,
  ADD COLUMN last_error_at   timestamptz,
  ADD UNIQUE (url, label_studio_project_id);

CREATE TABLE labelstudio_tasks (
  project              int NOT NULL REFERENCES labelstudio_projects (id),
  conversation_id      text NOT NULL,
  -- Absent while it is not known whether Label Studio has the task.
  label_studio_task_id int,
  -- pushing: an import was begun. open: waits in Label Studio. answered: has an annotation. closed: taken out, or gone.
  -- refused: Label Studio does not take it.
  status               text NOT NULL CHECK (status IN ('pushing', 'open', 'answered', 'closed', 'refused')),
  pushed_at            timestamptz NOT NULL DEFAULT now(),
  updated_at           timestamptz NOT NULL DEFAULT now(),
  -- At this revision in conversation_logs the conversation waited; only a later one can say that somebody has answered.
  waited_at_revision   int,
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
  PRIMARY KEY (project, annotation_id)
);
CREATE INDEX labelstudio_annotations_task ON labelstudio_annotations (project, label_studio_task_id);

-- Reviews that were counted and that Kafka has not acknowledged yet. Written with what was counted, in one transaction, so that
-- a review is sent with the same content however often.
CREATE TABLE labelstudio_outbox (
  id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  review jsonb NOT NULL
);
