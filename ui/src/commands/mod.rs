//! What each command does, by the place it belongs to.

pub mod everywhere;
pub mod ledger;
pub mod panes;
