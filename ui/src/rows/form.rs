//! What the new-run dialog offers.

use super::IssueName;

/// What the new-run dialog offers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FormAgents {
    /// Agents of the project.
    pub agents: Vec<FormAgent>,
    /// Issues that are open, newest first.
    pub issues: Vec<IssueName>,
    /// Names of environments a run may use.
    pub environments: Vec<String>,
}

/// One agent of the new-run dialog.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FormAgent {
    /// Name.
    pub name: String,
    /// Adapter with version: `claude 2.1.4`.
    pub adapter: String,
    /// Slots in use and allowed.
    pub slots: (u32, u32),
    /// Environment it runs in when nothing else is said.
    pub environment: Option<String>,
    /// Why its runs are sent no prompt, when they are not: `its stdin is "none"`.
    pub no_prompt: Option<String>,
    /// Why it cannot start now: paused, over budget.
    pub blocked: Option<String>,
}
