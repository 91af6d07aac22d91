//! The plugin driver with real processes: the example that is shipped, and one that does everything wrong.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

#[path = "cli_common/mod.rs"]
mod cli_common;

#[path = "plugin/bench.rs"]
mod bench;
#[path = "plugin/check.rs"]
mod check;
#[path = "plugin/driver.rs"]
mod driver;
#[path = "plugin/places.rs"]
mod places;
#[path = "plugin/shim.rs"]
mod shim;
#[path = "shim_common/mod.rs"]
mod shim_common;
#[path = "plugin/target.rs"]
mod target;
