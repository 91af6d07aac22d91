//! Orchestrator, drivers, shim and console of wharf.

pub mod process;
pub mod shim;
