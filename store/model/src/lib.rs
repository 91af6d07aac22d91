//! The words and rules that all rooms of wharf share.
//!
//! Pure: no IO, no async, no clock. Time comes in as a value.
#![warn(missing_docs)]

pub mod filter;
pub mod ids;
pub mod shim;
pub mod time;
pub mod words;

pub use ids::*;
pub use time::UnixMillis;
