//! SQLite and log files of wharf: the one place where the screen, the orchestrator and other
//! processes meet.
//!
//! Who may do what: [`Writer`] belongs to the dispatch thread of the process that holds the
//! orchestrator's lock; [`RequestSender`] adds request rows from anywhere; [`Reader`] asks and
//! changes nothing.
#![warn(missing_docs)]

mod apply;
mod cell;
mod changes;
mod directory;
mod error;
mod first_bytes;
mod insert_request;
mod load;
pub mod log;
mod migrate;
mod open;
mod reader;
pub mod view;
mod writer;

pub use changes::{ChangeSignal, Checked};
pub use error::StoreError;
pub use insert_request::{NewRequest, RequestSender};
pub use open::{Access, Store};
pub use reader::Reader;
pub use writer::{ApplyError, Outcomes, Writer};

#[cfg(test)]
mod schema_test;
#[cfg(test)]
mod state_test;
#[cfg(test)]
mod view_test;
