//! What the close check finds in real repositories of every shape.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test ends with a panic, and says why it skips")]

#[path = "close_check/shapes.rs"]
mod shapes;
mod workspace_common;
