//! Environments: where runs may run, and the drivers that reach them.

pub mod driver;
pub mod here;
pub mod local;
pub mod registry;
pub mod secrets;
pub mod target;

pub use driver::{Answer, Driver, Site};
