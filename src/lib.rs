//! wharf: a terminal console for the people who operate agent runs on their own machines.

pub mod adapter;
pub mod clock;
pub mod config;
pub mod demo;
pub mod dispatch;
pub mod environment;
pub mod process;
pub mod run;
pub mod service;
pub mod shim;
pub mod workspace;
