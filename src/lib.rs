#![doc = include_str!("ARCHITECTURE.md")]

pub mod adapter;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod demo;
pub mod dispatch;
pub mod environment;
pub mod gc;
mod once_there;
pub mod process;
pub mod run;
pub mod service;
pub mod session;
pub mod shim;
pub mod user;
mod why;
pub mod workspace;
