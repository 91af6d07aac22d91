//! The program's own room: orchestration, processes, workspaces and services.

// service
pub mod workspace;
