//! One contract for every driver (`drivers/contract.rs`), and an engine that is simulated (`drivers/simulated.rs`).
//!
//! Each driver is a subject: it says whether it can be tried here, and what is special about it. What is tried and
//! what is skipped is printed, with the reason; `.ci/run` refuses a reason that does not hold.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test ends with a panic, and says what it did")]

mod sandbox_common;
#[path = "support/sshd.rs"]
mod sshd;

#[path = "drivers/bench.rs"]
mod bench;
#[path = "drivers/command.rs"]
mod command;
#[path = "drivers/contract.rs"]
mod contract;
#[path = "drivers/leftovers.rs"]
mod leftovers;
#[path = "drivers/scene.rs"]
mod scene;
#[path = "drivers/subject.rs"]
mod subject;

#[path = "drivers/check_commands.rs"]
mod check_commands;
#[path = "drivers/check_leases.rs"]
mod check_leases;
#[path = "drivers/check_processes.rs"]
mod check_processes;
#[path = "drivers/check_reach.rs"]
mod check_reach;
#[path = "drivers/check_workspaces.rs"]
mod check_workspaces;

#[path = "drivers/carry.rs"]
mod carry;
#[path = "drivers/containers.rs"]
mod containers;
#[path = "drivers/here.rs"]
mod here;
#[path = "drivers/mutants.rs"]
mod mutants;
#[path = "drivers/plugin.rs"]
mod plugin;
#[path = "drivers/simulated.rs"]
mod simulated;
#[path = "drivers/simulated_driver.rs"]
mod simulated_driver;
#[path = "drivers/simulated_target.rs"]
mod simulated_target;
#[path = "drivers/simulated_test.rs"]
mod simulated_test;
#[path = "drivers/ssh.rs"]
mod ssh;
