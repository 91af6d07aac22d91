//! Orchestrator, drivers, shim and console of wharf.

pub mod process;
pub mod service;
pub mod shim;
pub mod workspace;
