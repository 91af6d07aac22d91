//! Environments: where runs may run, and the drivers that reach them.

pub mod driver;
pub mod local;

pub use driver::{Answer, Driver, Place};
