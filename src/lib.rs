//! .
//! .

pub mod config;
