//! .

pub mod log;
