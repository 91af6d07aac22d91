//! Agents: who runs, by which adapter, with which limits.

use serde_json::Value;

use crate::*;

words! {
    /// Whether an agent may be started.
    pub enum AgentStatus {
        Active = "active",
        Paused = "paused",
        Idle = "idle",
        Running = "running",
        Error = "error",
        PendingApproval = "pending_approval",
        Terminated = "terminated",
        Archived = "archived",
    }
}

impl AgentStatus {
    /// Whether runs of the agent may start.
    pub const fn is_invokable(self) -> bool {
        matches!(self, Self::Active | Self::Idle | Self::Running | Self::Error)
    }
}

row! {
    /// An agent. `config` is its accepted configuration.
    entity AgentRow in "agents" key id: AgentId {
        company_id: CompanyId,
        project_id: ProjectId,
        name: String,
        origin: Origin,
        adapter_type: String,
        status: AgentStatus,
        status_reason: Option<String>,
        default_environment: Option<String>,
        concurrent_runs: i64,
        config: Value,
        last_run_at: Option<UnixMillis>,
    }
}

row! {
    /// What an agent's runs left behind for the next one; made before its first run.
    entity AgentRuntimeRow in "agent_runtime_state" key agent_id: AgentId {
        company_id: CompanyId,
        adapter_type: String,
        session_id: Option<String>,
        state_json: Value,
        last_run_id: Option<RunId>,
        last_run_status: Option<RunStatus>,
        total_input_tokens: i64,
        total_output_tokens: i64,
        total_cached_input_tokens: i64,
        total_cost_microusd: Option<i64>,
        last_error: Option<String>,
    }
}
