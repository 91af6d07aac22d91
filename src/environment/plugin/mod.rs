//! Plugins: programs that speak JSON-RPC on their standard streams and obtain places elsewhere.
//!
//! The protocol is written down in `assets/plugins/PROTOCOL.md`. From below: [`message`] are its lines, [`process`] one
//! process, `pump` what goes on around it, [`connection`] an instance that can be asked, [`begin`] how it comes to be,
//! [`life`] when it may be started again, [`worker`] the one instance of a set of settings, [`Plugins`] all of them. Above: [`driver`] asks a
//! worker for leases, [`execution`] follows a command in a place, [`target`] is the command of this machine that does
//! so for a run, [`check`] tries a plugin out.

mod asking;
pub mod begin;
pub mod check;
pub mod connection;
pub mod driver;
pub mod execution;
pub mod facts;
mod following;
pub mod hello;
mod keeping;
pub mod life;
pub mod message;
pub mod notes;
mod params;
pub mod pool;
mod probe;
pub mod process;
mod pump;
mod shared;
pub mod target;
pub mod worker;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub use pool::Plugins;

/// Version of the protocol.
pub const API_VERSION: u64 = 1;
/// Time in which a plugin must be ready.
pub const READY_LIMIT: Duration = Duration::from_secs(15);
/// Time in which a killed process must be gone.
const KILL_LIMIT: Duration = Duration::from_secs(2);

/// Milliseconds of a clock that only rises.
fn now_ms() -> u64 {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    BEGUN.get_or_init(Instant::now).elapsed().as_millis() as u64
}
