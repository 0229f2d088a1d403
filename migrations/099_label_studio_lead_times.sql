-- The time that an annotation had taken when it was counted last: what Label Studio says of an edited one is the sum so far.
ALTER TABLE labelstudio_annotations ADD COLUMN lead_time_ms int;
