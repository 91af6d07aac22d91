-- When and why the log of an ended run was removed; the row stays.
ALTER TABLE runs ADD COLUMN log_deleted_at INTEGER;
ALTER TABLE runs ADD COLUMN log_deleted_reason TEXT;
-- Logs that are there, the oldest first.
CREATE INDEX runs_logs_kept ON runs (finished_at) WHERE log_ref IS NOT NULL AND log_deleted_at IS NULL;
