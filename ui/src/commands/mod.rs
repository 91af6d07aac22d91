//! What each command does, by the place it belongs to.

pub mod activity;
pub mod diagnostics;
pub mod everywhere;
pub mod leases;
pub mod ledger;
pub mod panes;
pub mod places;
pub mod services;
pub mod workspaces;
