//! The operating-system seam: identities, locks, signals, process trees, spawning.
//!
//! The only place with `unsafe` and libc. Another Unix would be one more set of these files.

#[cfg(not(target_os = "linux"))]
compile_error!("wharf needs Linux: it identifies, watches and ends processes through /proc, pidfds and subreapers");

pub mod adopt;
pub mod bound;
pub mod brief;
pub mod cgroup;
pub mod client;
pub mod descendants;
pub mod dispositions;
pub mod exec;
pub mod foreground;
pub mod halted;
pub mod holder;
pub mod identity;
pub mod idle;
pub mod kill_point;
pub mod kin;
pub mod landlock;
pub mod libgit2;
pub mod lock;
mod numbers;
pub mod reap;
pub mod seccomp;
pub mod session;
pub mod shim_dir;
pub mod signal;
pub mod spawn;
pub mod stat;
pub mod terminal;
pub mod terminate;
pub mod usage;
pub mod writeback;
