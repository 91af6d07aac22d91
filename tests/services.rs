//! Services with real servers: ports, readiness, health, what is looked at before a start, and what is left behind.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test ends with a panic, and says its seed")]

#[path = "support/orchestrator.rs"]
mod orchestrator;

#[path = "services/daemons.rs"]
mod daemons;
#[path = "services/health.rs"]
mod health;
#[path = "services/many.rs"]
mod many;
#[path = "services/ports.rs"]
mod ports;
#[path = "services/prestart.rs"]
mod prestart;
#[path = "services/ready.rs"]
mod ready;
#[path = "services/servers.rs"]
mod servers;
