//! The faults that wharf must survive (F1 to F42), each as a test that carries its number.
//!
//! Runs execute the program in `faults/child.rs`, faults come from `faults/nemesis.rs`, and what is left is
//! judged by `faults/checker.rs` against the seven statements of "nothing lost". `faults/table.rs` lists
//! every fault with its tests and prints how each went last.
//!
//! `WHARF_TEST_SEED` replaces the seeds, `WHARF_TEST_EXHAUSTIVE` asks for the long forms.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test ends with a panic, and says its seed")]

#[path = "support/engines.rs"]
mod engines;
#[path = "support/orchestrator.rs"]
mod orchestrator;
#[path = "support/pty.rs"]
mod pty;
#[path = "support/sshd.rs"]
mod sshd;
#[path = "support/witness.rs"]
mod witness;

#[path = "faults/checker.rs"]
mod checker;
#[path = "faults/child.rs"]
mod child;
#[path = "faults/forged.rs"]
mod forged;
#[path = "faults/ground.rs"]
mod ground;
#[path = "faults/nemesis.rs"]
mod nemesis;
#[path = "faults/world.rs"]
mod world;

#[path = "faults/console.rs"]
mod console;
#[path = "faults/disk.rs"]
mod disk;
#[path = "faults/kill_points.rs"]
mod kill_points;
#[path = "faults/limits.rs"]
mod limits;
#[path = "faults/output.rs"]
mod output;
#[path = "faults/slots.rs"]
mod slots;
#[path = "faults/table.rs"]
mod table;
#[path = "faults/trees.rs"]
mod trees;
