//! .
//! .

pub mod adapter;
pub mod config;
