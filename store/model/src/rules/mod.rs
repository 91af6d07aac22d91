//! Pure decisions, table-tested: what may follow, what is chosen, what is said.

pub mod branch;
pub mod checkout;
pub mod close_check;
pub mod environment_change;
pub mod environment_choice;
pub mod issue_settings;
pub mod lease;
pub mod lease_verb;
pub mod liveness;
pub mod port_board;
pub mod queue;
pub mod reap;
pub mod release;
pub mod reuse_key;
pub mod running_job;
pub mod service_desired;
pub mod service_off;
pub mod service_order;
pub mod service_restart;
pub mod service_why;
pub mod session;
pub mod silence;
pub mod template;
pub mod transition;
pub mod trash;
pub mod work_place;
pub mod workspace_environment;

#[cfg(test)]
mod test_rows;
