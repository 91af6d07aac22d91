//! Pure decisions, table-tested: what may follow, what is chosen, what is said.

pub mod liveness;
pub mod release;
pub mod transition;
