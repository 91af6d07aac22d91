-- What a workspace was made with and keeps while its issue's settings do not change; how its place was found.
ALTER TABLE execution_workspaces ADD COLUMN config TEXT;
ALTER TABLE execution_workspaces ADD COLUMN source TEXT;
-- Where the directory of an archived workspace lies, and until when; NULL when its bytes are gone.
ALTER TABLE execution_workspaces ADD COLUMN trash_path TEXT;
ALTER TABLE execution_workspaces ADD COLUMN trash_until INTEGER;
ALTER TABLE execution_workspaces ADD COLUMN trash_bytes INTEGER;
CREATE INDEX workspaces_in_trash ON execution_workspaces (trash_until) WHERE trash_path IS NOT NULL;

CREATE TABLE workspace_snapshots (
    id TEXT NOT NULL PRIMARY KEY,
    workspace_id TEXT NOT NULL REFERENCES execution_workspaces DEFERRABLE INITIALLY DEFERRED,
    company_id TEXT NOT NULL REFERENCES companies DEFERRABLE INITIALLY DEFERRED,
    project_id TEXT NOT NULL REFERENCES projects DEFERRABLE INITIALLY DEFERRED,
    run_id TEXT REFERENCES runs DEFERRABLE INITIALLY DEFERRED,
    ordinal INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('kept', 'removed')),
    reason TEXT NOT NULL,
    ref_name TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    head_commit TEXT,
    branch_name TEXT,
    files INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    metadata TEXT,
    expires_at INTEGER,
    restored_at INTEGER,
    removed_at INTEGER,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (workspace_id, ordinal)
) STRICT;
CREATE INDEX snapshots_kept ON workspace_snapshots (expires_at) WHERE status = 'kept';

-- Who asked for the state that a service is wanted in, when it was not the config.
ALTER TABLE workspace_runtime_services ADD COLUMN desired_by TEXT;
-- Restarts since it was last started by somebody, and when those within the time of its budget were: a JSON list of times.
ALTER TABLE workspace_runtime_services ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workspace_runtime_services ADD COLUMN restart_times TEXT;
-- What was seen when its health was last judged, and when that verdict began.
ALTER TABLE workspace_runtime_services ADD COLUMN health_evidence TEXT;
ALTER TABLE workspace_runtime_services ADD COLUMN health_since INTEGER;
-- Hash of the environment that its process was started with.
ALTER TABLE workspace_runtime_services ADD COLUMN env_fingerprint TEXT;
-- Services that must be ready before it is started: a JSON list of their ids.
ALTER TABLE workspace_runtime_services ADD COLUMN waits_for TEXT;
-- The adapter's own id of a service that an adapter keeps.
ALTER TABLE workspace_runtime_services ADD COLUMN provider_ref TEXT;

-- Runs that have used a service and left it. Rows of users go when they leave, so the database itself remembers them.
CREATE TABLE service_past_users (
    service_id TEXT NOT NULL REFERENCES workspace_runtime_services DEFERRABLE INITIALLY DEFERRED,
    run_id TEXT NOT NULL REFERENCES runs DEFERRABLE INITIALLY DEFERRED,
    since INTEGER NOT NULL,
    reused INTEGER NOT NULL CHECK (reused IN (0, 1)),
    PRIMARY KEY (service_id, run_id)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER service_user_left AFTER DELETE ON service_users BEGIN
    INSERT OR REPLACE INTO service_past_users (service_id, run_id, since, reused)
    VALUES (old.service_id, old.run_id, old.since, old.reused);
END;
-- Services that go on by themselves, those between two starts among them.
CREATE INDEX services_open ON workspace_runtime_services (number) WHERE status IN ('starting', 'running', 'stopping', 'backoff');
