//! Companies, projects and where their sources live.

use serde_json::Value;

use crate::*;

words! {
    /// Whether a company's work goes on.
    pub enum CompanyStatus { Active = "active", Paused = "paused", Archived = "archived" }
}

words! {
    /// Where a row comes from: the config file is the truth of its rows, others are made by hand.
    pub enum Origin { Config = "config", Manual = "manual" }
}

row! {
    /// The outermost scope.
    entity CompanyRow in "companies" key id: CompanyId {
        name: String,
        status: CompanyStatus,
    }
}

row! {
    /// A project: a directory with its config.
    entity ProjectRow in "projects" key id: ProjectId {
        company_id: CompanyId,
        key: String,
        name: String,
        path: String,
        git_common_dir: Option<String>,
        issue_counter: i64,
        config_hash: Option<String>,
        config: Option<Value>,
        accepted_executable_hash: Option<String>,
        accepted_by: Option<String>,
        accepted_at: Option<UnixMillis>,
        pending_executable_hash: Option<String>,
        pending_config: Option<Value>,
        default_environment: Option<String>,
        removed_at: Option<UnixMillis>,
    }
}

row! {
    /// Where a project's sources live.
    entity ProjectWorkspaceRow in "project_workspaces" key id: ProjectWorkspaceId {
        company_id: CompanyId,
        project_id: ProjectId,
        name: String,
        source_type: String,
        cwd: Option<String>,
        repo_url: Option<String>,
        repo_ref: Option<String>,
        default_ref: Option<String>,
        setup_command: Option<String>,
        cleanup_command: Option<String>,
        is_primary: bool,
        metadata: Option<Value>,
    }
}
