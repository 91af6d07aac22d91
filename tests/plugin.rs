//! The plugin driver with real processes: the example that is shipped, and one that does everything wrong.

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
#[path = "plugin/target.rs"]
mod target;
