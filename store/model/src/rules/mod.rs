//! Pure decisions, table-tested: what may follow, what is chosen, what is said.

pub mod branch;
pub mod checkout;
pub mod close_check;
pub mod environment_change;
pub mod lease;
pub mod lease_verb;
pub mod liveness;
pub mod queue;
pub mod reap;
pub mod release;
pub mod reuse_key;
pub mod template;
pub mod transition;
pub mod workspace_environment;
