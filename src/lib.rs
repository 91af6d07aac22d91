//! The program's own room: orchestration, processes, workspaces and services.

pub mod service;
pub mod workspace;
