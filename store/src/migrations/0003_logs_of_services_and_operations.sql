-- When and why the log of an operation was removed; the row stays.
ALTER TABLE workspace_operations ADD COLUMN log_deleted_at INTEGER;
ALTER TABLE workspace_operations ADD COLUMN log_deleted_reason TEXT;
-- A service has a log for each of its starts. They go in their order: up to this one all are gone.
ALTER TABLE workspace_runtime_services ADD COLUMN log_deleted_generation INTEGER;
ALTER TABLE workspace_runtime_services ADD COLUMN log_deleted_at INTEGER;
ALTER TABLE workspace_runtime_services ADD COLUMN log_deleted_reason TEXT;
-- Logs of operations that are there, the oldest first.
CREATE INDEX operations_logs_kept ON workspace_operations (finished_at)
    WHERE log_ref IS NOT NULL AND log_deleted_at IS NULL;
