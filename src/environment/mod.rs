//! Environments: where runs may run, and the drivers that reach them.

pub mod driver;
pub mod here;
pub mod local;
pub mod plugin;
pub mod registry;
pub mod sandbox;
pub mod search;
pub mod secrets;
pub mod ssh;
pub mod target;
pub mod transport;

pub use driver::{Answer, Driver, Site};
