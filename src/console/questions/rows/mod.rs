//! Rows of the store in the operator's words.

mod activity;
mod close;
mod environment;
mod lease;
mod lease_detail;
mod run;
mod service;
mod workspace;
mod workspace_why;

use wharf_ui::rows::Fact;

pub use activity::{activity, activity_facts, details};
pub use close::{blocked, close_check};
pub use environment::{environment, environment_facts};
pub use lease::{lease, lease_facts, waits};
pub use lease_detail::{lease_detail, realisation};
pub use run::{halted_now, halted_words, has_terminal_now, run, run_facts, step_failed, step_words};
pub use service::{health_words, restarts, service, service_facts, service_state, wants_past_services};
pub use workspace::{is_shared, operation, phase_words, snapshot, workspace, workspace_facts, workspace_state};
pub use workspace_why::{Explained, Reaping, why};

/// A fact.
pub fn fact(label: &str, value: impl Into<String>, remark: impl Into<String>) -> Fact {
    Fact { label: label.to_owned(), value: value.into(), remark: remark.into(), bad: false }
}
