//! Helpers for runtime services: ports, and waiting until a service answers.

pub mod board;
pub mod port;
pub mod readiness;
pub mod serve;
pub mod why;
