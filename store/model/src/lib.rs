//! The words and rules that all rooms of wharf share.
//!
//! Pure: no IO, no async, no clock. Time comes in as a value.
#![warn(missing_docs)]

pub mod base64;
pub mod column;
pub mod config;
pub mod filter;
pub mod ids;
pub mod rules;
pub mod shim;
pub mod state;
pub mod time;
pub mod words;

mod agent;
mod environment;
mod issue;
mod project;
mod request;
mod run;
mod service;
mod workspace;

pub use agent::*;
pub use environment::*;
pub use ids::*;
pub use issue::*;
pub use project::*;
pub use request::*;
pub use run::*;
pub use service::*;
pub use time::UnixMillis;
pub use workspace::*;
