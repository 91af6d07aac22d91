//! What survives a killed orchestrator, bad input and impatient operators: whole programs, real files.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test ends with a panic, and says its seed")]

#[path = "support/engines.rs"]
mod engines;
#[path = "support/orchestrator.rs"]
mod orchestrator;
#[path = "support/sshd.rs"]
mod sshd;
#[path = "support/witness.rs"]
mod witness;

#[path = "crash/adopt.rs"]
mod adopt;
#[path = "crash/agent_socket.rs"]
mod agent_socket;
#[path = "crash/bad_input.rs"]
mod bad_input;
#[path = "crash/cancel.rs"]
mod cancel;
#[path = "crash/caps.rs"]
mod caps;
#[path = "crash/clock.rs"]
mod clock;
#[path = "crash/doubt.rs"]
mod doubt;
#[path = "crash/election.rs"]
mod election;
#[path = "crash/lease_plugin.rs"]
mod lease_plugin;
#[path = "crash/leases.rs"]
mod leases;
#[path = "crash/left.rs"]
mod left;
#[path = "crash/limits.rs"]
mod limits;
#[path = "crash/monorepo.rs"]
mod monorepo;
#[path = "crash/retry.rs"]
mod retry;
#[path = "crash/services.rs"]
mod services;
#[path = "crash/take_over.rs"]
mod take_over;
#[path = "crash/versions.rs"]
mod versions;
#[path = "crash/workspaces.rs"]
mod workspaces;
