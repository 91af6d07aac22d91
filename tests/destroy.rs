//! Tries to lose a byte of a workspace: by snapshot and restore, by trash and restore, and by a crash at every step.

#![allow(clippy::unwrap_used, reason = "a test ends with a panic")]

#[path = "destroy/crash.rs"]
mod crash;
#[path = "destroy/formats.rs"]
mod formats;
#[path = "destroy/rich.rs"]
mod rich;
#[path = "destroy/snapshots.rs"]
mod snapshots;
#[path = "destroy/trash.rs"]
mod trash;
mod workspace_common;
