-- The store as its first version has it: one table for each row type of the model, with its columns in its order.
--
-- CHECK stands only on closed sets, since SQLite cannot alter a CHECK; sets that may grow (kinds, phases, reasons)
-- are validated when rows are read and written. Foreign keys wait for the commit, so that the order of writes inside
-- a transaction does not matter. The audit trail has none: it outlives what it speaks of.

PRAGMA application_id = 2003333734;

CREATE TABLE meta (
    key TEXT NOT NULL PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- epoch: the reign that may write. min_reader: the oldest schema whose readers still understand this one.
-- data_version: rises when the meaning of stored values changes without a change of columns.
-- store_id: tells this store's journal from another's.
INSERT INTO meta (key, value) VALUES
    ('epoch', 0),
    ('min_reader', 1),
    ('data_version', 1),
    ('created_at', CAST(unixepoch('subsec') * 1000 AS INTEGER)),
    ('store_id', lower(hex(randomblob(16))));

-- The last number given out, by kind.
CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE companies (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'paused', 'archived')),
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE projects (
    id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies DEFERRABLE INITIALLY DEFERRED,
    key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    git_common_dir TEXT,
    issue_counter INTEGER NOT NULL,
    config_hash TEXT,
    config TEXT,
    accepted_executable_hash TEXT,
    accepted_by TEXT,
    accepted_at INTEGER,
    pending_executable_hash TEXT,
    pending_config TEXT,
    default_environment TEXT,
    removed_at INTEGER,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE project_workspaces (
    id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies DEFERRABLE INITIALLY DEFERRED,
    project_id TEXT NOT NULL REFERENCES projects DEFERRABLE INITIALLY DEFERRED,
    name TEXT NOT NULL,
    source_type TEXT NOT NULL,
    cwd TEXT,
    repo_url TEXT,
    repo_ref TEXT,
    default_ref TEXT,
    setup_command TEXT,
    cleanup_command TEXT,
    is_primary INTEGER NOT NULL CHECK (is_primary IN (0, 1)),
    metadata TEXT,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE agents (
    id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies DEFERRABLE INITIALLY DEFERRED,
    project_id TEXT NOT NULL REFERENCES projects DEFERRABLE INITIALLY DEFERRED,
    name TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('config', 'manual')),
    adapter_type TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'paused', 'idle', 'running', 'error', 'pending_approval', 'terminated', 'archived')),
    status_reason TEXT,
    default_environment TEXT,
    concurrent_runs INTEGER NOT NULL,
    config TEXT NOT NULL,
    last_run_at INTEGER,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE agent_runtime_state (
    agent_id TEXT NOT NULL PRIMARY KEY REFERENCES agents DEFERRABLE INITIALLY DEFERRED,
    company_id TEXT NOT NULL REFERENCES companies DEFERRABLE INITIALLY DEFERRED,
    adapter_type TEXT NOT NULL,
    session_id TEXT,
    state_json TEXT NOT NULL,
    last_run_id TEXT REFERENCES runs DEFERRABLE INITIALLY DEFERRED,
    last_run_status TEXT CHECK (last_run_status IN ('queued', 'scheduled_retry', 'running', 'succeeded', 'failed', 'cancelled', 'timed_out', 'lost')),
    total_input_tokens INTEGER NOT NULL,
    total_output_tokens INTEGER NOT NULL,
    total_cached_input_tokens INTEGER NOT NULL,
    total_cost_microusd INTEGER,
    last_error TEXT,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE environments (
    id TEXT NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE,
    company_id TEXT NOT NULL REFERENCES companies DEFERRABLE INITIALLY DEFERRED,
    name TEXT NOT NULL,
    description TEXT,
    origin TEXT NOT NULL CHECK (origin IN ('config', 'manual')),
    driver TEXT NOT NULL CHECK (driver IN ('local', 'ssh', 'sandbox', 'plugin')),
    status TEXT NOT NULL CHECK (status IN ('active', 'archived', 'deleted')),
    lease_policy TEXT NOT NULL CHECK (lease_policy IN ('ephemeral', 'reuse_by_environment', 'reuse_by_execution_workspace', 'retain_on_failure')),
    slots INTEGER,
    ttl_ms INTEGER NOT NULL,
    fence_counter INTEGER NOT NULL,
    config TEXT NOT NULL,
    metadata TEXT,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE environment_leases (
    id TEXT NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE,
    company_id TEXT NOT NULL REFERENCES companies DEFERRABLE INITIALLY DEFERRED,
    environment_id TEXT NOT NULL REFERENCES environments DEFERRABLE INITIALLY DEFERRED,
    run_id TEXT REFERENCES runs DEFERRABLE INITIALLY DEFERRED,
    issue_id TEXT REFERENCES issues DEFERRABLE INITIALLY DEFERRED,
    execution_workspace_id TEXT REFERENCES execution_workspaces DEFERRABLE INITIALLY DEFERRED,
    status TEXT NOT NULL CHECK (status IN ('waiting', 'acquiring', 'active', 'releasing', 'retained', 'pending_cleanup', 'released', 'expired', 'failed')),
    lease_policy TEXT NOT NULL CHECK (lease_policy IN ('ephemeral', 'reuse_by_environment', 'reuse_by_execution_workspace', 'retain_on_failure')),
    fence INTEGER,
    provider TEXT NOT NULL,
    provider_lease_id TEXT,
    acquired_at INTEGER,
    last_used_at INTEGER,
    expires_at INTEGER,
    deadline_at INTEGER,
    released_at INTEGER,
    end_reason TEXT CHECK (end_reason IN ('released', 'failed', 'expired')),
    failure_reason TEXT,
    cleanup_status TEXT CHECK (cleanup_status IN ('pending', 'success', 'failed')),
    cleanup_attempts INTEGER NOT NULL,
    next_try_at INTEGER,
    metadata TEXT,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE execution_workspaces (
    id TEXT NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE,
    company_id TEXT NOT NULL REFERENCES companies DEFERRABLE INITIALLY DEFERRED,
    project_id TEXT NOT NULL REFERENCES projects DEFERRABLE INITIALLY DEFERRED,
    project_workspace_id TEXT REFERENCES project_workspaces DEFERRABLE INITIALLY DEFERRED,
    source_issue_id TEXT REFERENCES issues DEFERRABLE INITIALLY DEFERRED,
    derived_from_execution_workspace_id TEXT REFERENCES execution_workspaces DEFERRABLE INITIALLY DEFERRED,
    mode TEXT NOT NULL,
    strategy_type TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('realising', 'active', 'idle', 'in_review', 'archiving', 'archived', 'cleanup_failed', 'failed', 'missing')),
    cwd TEXT,
    repo_root TEXT,
    repo_url TEXT,
    base_ref TEXT,
    base_commit TEXT,
    branch_name TEXT,
    provider_type TEXT NOT NULL,
    provider_ref TEXT,
    created_by_runtime INTEGER NOT NULL CHECK (created_by_runtime IN (0, 1)),
    branch_created_by_runtime INTEGER NOT NULL CHECK (branch_created_by_runtime IN (0, 1)),
    environment_id TEXT REFERENCES environments DEFERRABLE INITIALLY DEFERRED,
    last_used_at INTEGER NOT NULL,
    deadline_at INTEGER,
    closed_at INTEGER,
    cleanup_eligible_at INTEGER,
    failure_reason TEXT,
    metadata TEXT,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE workspace_operations (
    id TEXT NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE,
    company_id TEXT NOT NULL REFERENCES companies DEFERRABLE INITIALLY DEFERRED,
    project_id TEXT NOT NULL REFERENCES projects DEFERRABLE INITIALLY DEFERRED,
    execution_workspace_id TEXT REFERENCES execution_workspaces DEFERRABLE INITIALLY DEFERRED,
    run_id TEXT REFERENCES runs DEFERRABLE INITIALLY DEFERRED,
    phase TEXT NOT NULL,
    command TEXT,
    cwd TEXT,
    status TEXT NOT NULL CHECK (status IN ('running', 'succeeded', 'failed', 'skipped', 'queued', 'lost')),
    attempt INTEGER NOT NULL,
    exit_code INTEGER,
    signal TEXT,
    error TEXT,
    log_ref TEXT,
    stdout_excerpt TEXT,
    stderr_excerpt TEXT,
    metadata TEXT,
    started_at INTEGER NOT NULL,
    finished_at INTEGER,
    deadline_at INTEGER,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE workspace_runtime_services (
    id TEXT NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE,
    company_id TEXT NOT NULL REFERENCES companies DEFERRABLE INITIALLY DEFERRED,
    project_id TEXT NOT NULL REFERENCES projects DEFERRABLE INITIALLY DEFERRED,
    project_workspace_id TEXT REFERENCES project_workspaces DEFERRABLE INITIALLY DEFERRED,
    execution_workspace_id TEXT REFERENCES execution_workspaces DEFERRABLE INITIALLY DEFERRED,
    issue_id TEXT REFERENCES issues DEFERRABLE INITIALLY DEFERRED,
    owner_agent_id TEXT REFERENCES agents DEFERRABLE INITIALLY DEFERRED,
    started_by_run_id TEXT REFERENCES runs DEFERRABLE INITIALLY DEFERRED,
    name TEXT NOT NULL,
    scope_type TEXT NOT NULL CHECK (scope_type IN ('project_workspace', 'execution_workspace', 'agent', 'run')),
    scope_id TEXT NOT NULL,
    reuse_key TEXT,
    lifecycle TEXT NOT NULL CHECK (lifecycle IN ('shared', 'ephemeral')),
    status TEXT NOT NULL CHECK (status IN ('starting', 'running', 'stopping', 'backoff', 'stopped', 'failed')),
    health TEXT NOT NULL CHECK (health IN ('unknown', 'healthy', 'unhealthy')),
    desired TEXT NOT NULL CHECK (desired IN ('running', 'stopped', 'manual')),
    generation INTEGER NOT NULL,
    command TEXT NOT NULL,
    cwd TEXT NOT NULL,
    port INTEGER,
    url TEXT,
    provider TEXT NOT NULL,
    stop_policy TEXT NOT NULL CHECK (stop_policy IN ('manual', 'idle_timeout', 'on_run_finish')),
    idle_ms INTEGER,
    grace_ms INTEGER NOT NULL,
    config TEXT NOT NULL,
    process_pid INTEGER,
    process_start_ticks INTEGER,
    exit_code INTEGER,
    signal TEXT,
    stop_reason TEXT,
    error_code TEXT,
    error TEXT,
    log_ref TEXT,
    started_at INTEGER,
    ready_at INTEGER,
    stopped_at INTEGER,
    last_used_at INTEGER NOT NULL,
    deadline_at INTEGER,
    idle_deadline_at INTEGER,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE service_users (
    service_id TEXT NOT NULL REFERENCES workspace_runtime_services DEFERRABLE INITIALLY DEFERRED,
    run_id TEXT NOT NULL REFERENCES runs DEFERRABLE INITIALLY DEFERRED,
    since INTEGER NOT NULL,
    reused INTEGER NOT NULL CHECK (reused IN (0, 1)),
    PRIMARY KEY (service_id, run_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE issues (
    id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies DEFERRABLE INITIALLY DEFERRED,
    project_id TEXT NOT NULL REFERENCES projects DEFERRABLE INITIALLY DEFERRED,
    number INTEGER NOT NULL,
    identifier TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    description TEXT,
    status TEXT NOT NULL CHECK (status IN ('backlog', 'todo', 'in_progress', 'in_review', 'done', 'blocked', 'cancelled')),
    priority TEXT NOT NULL CHECK (priority IN ('critical', 'high', 'medium', 'low')),
    assignee_agent_id TEXT REFERENCES agents DEFERRABLE INITIALLY DEFERRED,
    checkout_run_id TEXT REFERENCES runs DEFERRABLE INITIALLY DEFERRED,
    execution_run_id TEXT REFERENCES runs DEFERRABLE INITIALLY DEFERRED,
    execution_agent_name_key TEXT,
    execution_locked_at INTEGER,
    execution_workspace_id TEXT REFERENCES execution_workspaces DEFERRABLE INITIALLY DEFERRED,
    execution_workspace_settings TEXT,
    started_at INTEGER,
    completed_at INTEGER,
    cancelled_at INTEGER,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (project_id, number)
) STRICT;

CREATE TABLE issue_comments (
    id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies DEFERRABLE INITIALLY DEFERRED,
    issue_id TEXT REFERENCES issues DEFERRABLE INITIALLY DEFERRED,
    run_id TEXT REFERENCES runs DEFERRABLE INITIALLY DEFERRED,
    author_type TEXT NOT NULL,
    author_id TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE agent_wakeup_requests (
    id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies DEFERRABLE INITIALLY DEFERRED,
    agent_id TEXT NOT NULL REFERENCES agents DEFERRABLE INITIALLY DEFERRED,
    source TEXT NOT NULL,
    trigger_detail TEXT NOT NULL,
    reason TEXT,
    payload TEXT,
    status TEXT NOT NULL CHECK (status IN ('queued', 'deferred_issue_execution', 'claimed', 'coalesced', 'skipped', 'completed', 'failed', 'cancelled', 'timed_out', 'lost')),
    coalesced_count INTEGER NOT NULL,
    requested_by_actor_type TEXT NOT NULL CHECK (requested_by_actor_type IN ('operator', 'agent', 'system')),
    requested_by_actor_id TEXT,
    idempotency_key TEXT,
    run_id TEXT REFERENCES runs DEFERRABLE INITIALLY DEFERRED,
    requested_at INTEGER NOT NULL,
    claimed_at INTEGER,
    finished_at INTEGER,
    error TEXT,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE runs (
    id TEXT NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE,
    company_id TEXT NOT NULL REFERENCES companies DEFERRABLE INITIALLY DEFERRED,
    project_id TEXT NOT NULL REFERENCES projects DEFERRABLE INITIALLY DEFERRED,
    agent_id TEXT NOT NULL REFERENCES agents DEFERRABLE INITIALLY DEFERRED,
    issue_id TEXT REFERENCES issues DEFERRABLE INITIALLY DEFERRED,
    status TEXT NOT NULL CHECK (status IN ('queued', 'scheduled_retry', 'running', 'succeeded', 'failed', 'cancelled', 'timed_out', 'lost')),
    step TEXT CHECK (step IN ('resolve', 'check', 'acquire', 'realise', 'target', 'execute', 'finish')),
    invocation_source TEXT NOT NULL,
    trigger_detail TEXT NOT NULL,
    wakeup_request_id TEXT REFERENCES agent_wakeup_requests DEFERRABLE INITIALLY DEFERRED,
    priority INTEGER NOT NULL,
    queued_at INTEGER NOT NULL,
    due_at INTEGER,
    started_at INTEGER,
    finished_at INTEGER,
    deadline_at INTEGER,
    deadline_kind TEXT CHECK (deadline_kind IN ('awake', 'wall')),
    stop_reason TEXT,
    stop_requested_at INTEGER,
    stop_requested_by TEXT,
    stop_grace_ms INTEGER,
    attempt INTEGER NOT NULL,
    fence INTEGER,
    environment_id TEXT REFERENCES environments DEFERRABLE INITIALLY DEFERRED,
    lease_id TEXT REFERENCES environment_leases DEFERRABLE INITIALLY DEFERRED,
    workspace_id TEXT REFERENCES execution_workspaces DEFERRABLE INITIALLY DEFERRED,
    timeout_ms INTEGER,
    grace_ms INTEGER NOT NULL,
    exit_code INTEGER,
    signal TEXT,
    signal_reason TEXT,
    oom INTEGER NOT NULL CHECK (oom IN (0, 1)),
    leaky INTEGER NOT NULL CHECK (leaky IN (0, 1)),
    survivors TEXT,
    error_code TEXT,
    error TEXT,
    error_detail TEXT,
    observation TEXT NOT NULL CHECK (observation IN ('live', 'unknown')),
    observation_evidence TEXT,
    process_pid INTEGER,
    process_group_id INTEGER,
    process_start_ticks INTEGER,
    process_started_at INTEGER,
    process_boot_id TEXT,
    external_run_id TEXT,
    retry_of_run_id TEXT REFERENCES runs DEFERRABLE INITIALLY DEFERRED,
    lineage TEXT NOT NULL REFERENCES runs DEFERRABLE INITIALLY DEFERRED,
    process_loss_retry_count INTEGER NOT NULL,
    scheduled_retry_attempt INTEGER NOT NULL,
    scheduled_retry_reason TEXT,
    continuation_attempt INTEGER NOT NULL,
    session_id_before TEXT,
    session_id_after TEXT,
    issue_comment_status TEXT NOT NULL,
    issue_comment_satisfied_by_comment_id TEXT REFERENCES issue_comments DEFERRABLE INITIALLY DEFERRED,
    issue_comment_retry_queued_at INTEGER,
    liveness_state TEXT,
    liveness_reason TEXT,
    last_useful_action_at INTEGER,
    next_action TEXT,
    log_store TEXT,
    log_ref TEXT,
    log_bytes INTEGER,
    log_sha256 TEXT,
    log_compressed INTEGER NOT NULL CHECK (log_compressed IN (0, 1)),
    stdout_bytes INTEGER,
    stderr_bytes INTEGER,
    stdout_sha256 TEXT,
    stderr_sha256 TEXT,
    agent_seq INTEGER NOT NULL DEFAULT 0,
    last_output_at INTEGER,
    last_output_seq INTEGER NOT NULL,
    last_output_stream TEXT,
    last_output_bytes INTEGER NOT NULL,
    user_us INTEGER,
    sys_us INTEGER,
    maxrss_kib INTEGER,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE run_steps (
    id TEXT NOT NULL PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs DEFERRABLE INITIALLY DEFERRED,
    step TEXT NOT NULL CHECK (step IN ('resolve', 'check', 'acquire', 'realise', 'target', 'execute', 'finish')),
    status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'succeeded', 'failed', 'skipped')),
    attempt INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    deadline_at INTEGER,
    outcome TEXT,
    detail TEXT,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE run_events (
    run_id TEXT NOT NULL REFERENCES runs DEFERRABLE INITIALLY DEFERRED,
    seq INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    level TEXT NOT NULL,
    message TEXT NOT NULL,
    payload TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (run_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_texts (
    run_id TEXT NOT NULL REFERENCES runs DEFERRABLE INITIALLY DEFERRED,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run_id, kind)
) STRICT;

CREATE TABLE requests (
    id TEXT NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    target_type TEXT,
    target_id TEXT,
    args TEXT NOT NULL,
    expect TEXT,
    actor_type TEXT NOT NULL CHECK (actor_type IN ('operator', 'agent', 'system')),
    actor_id TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('console', 'cli', 'agent', 'timer')),
    idempotency_key TEXT,
    status TEXT NOT NULL CHECK (status IN ('pending', 'accepted', 'done', 'failed', 'refused', 'expired')),
    expires_at INTEGER NOT NULL,
    answered_at INTEGER,
    finished_at INTEGER,
    result TEXT,
    error_code TEXT,
    error TEXT,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE actions (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    entity_type TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    fence INTEGER,
    epoch_created INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'performing', 'done', 'failed', 'superseded')),
    tries INTEGER NOT NULL,
    next_try_at INTEGER,
    last_error TEXT,
    args TEXT,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE activity (
    id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL,
    project_id TEXT,
    actor_type TEXT NOT NULL CHECK (actor_type IN ('operator', 'agent', 'system')),
    actor_id TEXT NOT NULL,
    action TEXT NOT NULL,
    entity_type TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    entity_number TEXT,
    run_id TEXT,
    agent_id TEXT,
    details TEXT,
    created_at INTEGER NOT NULL
) STRICT;


-- Runs: newest first, alone or narrowed by one thing; the open ones by themselves, since they are few for ever.
CREATE INDEX runs_by_company ON runs (company_id, number);
CREATE INDEX runs_by_project ON runs (project_id, number);
CREATE INDEX runs_by_agent ON runs (agent_id, number);
CREATE INDEX runs_by_issue ON runs (issue_id, number) WHERE issue_id IS NOT NULL;
CREATE INDEX runs_by_environment ON runs (environment_id, number) WHERE environment_id IS NOT NULL;
CREATE INDEX runs_by_workspace ON runs (workspace_id, number) WHERE workspace_id IS NOT NULL;
CREATE INDEX runs_by_status ON runs (status, number);
CREATE INDEX runs_by_lineage ON runs (lineage, number);
CREATE INDEX runs_by_queued_at ON runs (queued_at);
CREATE INDEX runs_open ON runs (number) WHERE status IN ('queued', 'scheduled_retry', 'running');
CREATE INDEX run_steps_by_run ON run_steps (run_id);

-- One open lease for each run and environment; one open lease for each thing a provider handed out.
CREATE UNIQUE INDEX leases_one_open_per_run ON environment_leases (run_id, environment_id)
    WHERE run_id IS NOT NULL AND status NOT IN ('released', 'expired', 'failed');
CREATE UNIQUE INDEX leases_one_open_per_provider_lease ON environment_leases (provider_lease_id)
    WHERE provider_lease_id IS NOT NULL AND status NOT IN ('released', 'expired', 'failed');
CREATE INDEX leases_open ON environment_leases (number) WHERE status NOT IN ('released', 'expired', 'failed');
CREATE INDEX leases_by_run ON environment_leases (run_id, number) WHERE run_id IS NOT NULL;
CREATE INDEX leases_by_environment ON environment_leases (environment_id, number);
CREATE INDEX leases_by_workspace ON environment_leases (execution_workspace_id, number)
    WHERE execution_workspace_id IS NOT NULL;

CREATE UNIQUE INDEX environments_one_local ON environments (company_id, driver) WHERE driver = 'local';
CREATE INDEX environments_by_name ON environments (company_id, name);
CREATE INDEX agents_by_name ON agents (project_id, name);
CREATE INDEX projects_by_path ON projects (path);

CREATE INDEX services_live ON workspace_runtime_services (number) WHERE status IN ('starting', 'running', 'stopping');
CREATE INDEX services_by_reuse_key ON workspace_runtime_services (reuse_key) WHERE reuse_key IS NOT NULL;
CREATE INDEX services_by_project ON workspace_runtime_services (project_id, number);
CREATE INDEX service_users_by_run ON service_users (run_id);

CREATE INDEX workspaces_kept ON execution_workspaces (number) WHERE status <> 'archived';
CREATE INDEX workspaces_by_project ON execution_workspaces (project_id, number);
CREATE INDEX workspaces_by_issue ON execution_workspaces (source_issue_id, number) WHERE source_issue_id IS NOT NULL;
CREATE INDEX operations_by_run ON workspace_operations (run_id, number) WHERE run_id IS NOT NULL;
CREATE INDEX operations_by_workspace ON workspace_operations (execution_workspace_id, number)
    WHERE execution_workspace_id IS NOT NULL;
CREATE INDEX operations_open ON workspace_operations (number) WHERE status IN ('queued', 'running');

CREATE INDEX issues_open ON issues (project_id, number) WHERE status NOT IN ('done', 'cancelled');
CREATE INDEX issues_by_assignee ON issues (assignee_agent_id, status) WHERE assignee_agent_id IS NOT NULL;
CREATE INDEX comments_by_issue ON issue_comments (issue_id, created_at) WHERE issue_id IS NOT NULL;
CREATE INDEX comments_by_run ON issue_comments (run_id, created_at) WHERE run_id IS NOT NULL;
CREATE INDEX wakeups_by_agent ON agent_wakeup_requests (agent_id, status);
CREATE INDEX wakeups_open ON agent_wakeup_requests (requested_at)
    WHERE status IN ('queued', 'deferred_issue_execution', 'claimed');

CREATE UNIQUE INDEX requests_once ON requests (actor_type, actor_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX requests_open ON requests (number) WHERE status IN ('pending', 'accepted');
CREATE INDEX actions_open ON actions (created_at) WHERE status IN ('pending', 'performing');
CREATE INDEX actions_by_entity ON actions (entity_type, entity_id);

-- Each of these ends in the row's position, so that pages follow the order in which rows were written.
CREATE INDEX activity_newest ON activity (created_at);
CREATE INDEX activity_by_entity ON activity (entity_type, entity_id);
CREATE INDEX activity_by_run ON activity (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX activity_by_actor ON activity (actor_type, actor_id);
CREATE INDEX activity_by_action ON activity (action);

-- People name rows by the last characters of an id; at least six are asked for.
CREATE INDEX runs_by_tail ON runs (substr(id, -6));
CREATE INDEX leases_by_tail ON environment_leases (substr(id, -6));
CREATE INDEX operations_by_tail ON workspace_operations (substr(id, -6));
CREATE INDEX requests_by_tail ON requests (substr(id, -6));
CREATE INDEX issues_by_tail ON issues (substr(id, -6));
