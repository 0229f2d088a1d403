-- The lineage of a version is read page by page, in the order of the log.
CREATE INDEX training_sample_rows_log ON training_sample_rows (log_partition, log_offset);
