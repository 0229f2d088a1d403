-- updated_at is the time of the newest event in the row, not of the write: a rebuilt row is equal to the first one.
CREATE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_TABLE_NAME = 'conversation_logs' THEN
    NEW.updated_at := greatest(NEW.created_at, NEW.reviewed_at);
  ELSE
    NEW.updated_at := greatest(NEW.created_at, NEW.approved_at);
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER conversation_logs_updated_at BEFORE INSERT OR UPDATE ON conversation_logs FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER training_samples_updated_at BEFORE INSERT OR UPDATE ON training_samples FOR EACH ROW EXECUTE FUNCTION set_updated_at();
