//! SQLite and log files of wharf: the one place where the screen, the orchestrator and other
//! processes meet.
//!
//! Who may do what: [`Writer`] belongs to the dispatch thread of the process that holds the
//! orchestrator's lock; [`RequestSender`] adds request rows from anywhere; [`Reader`] asks and
//! changes nothing.
#![warn(missing_docs)]

mod apply;
mod backup;
mod cell;
mod changes;
mod check;
mod directory;
mod error;
mod insert_request;
mod journal;
mod load;
pub mod log;
mod migrate;
mod open;
mod point;
mod probe;
mod quarantine;
mod reader;
mod repair;
mod restore;
mod suspect;
pub mod view;
mod writer;

pub use backup::{Copied, Kept, backup, backups};
pub use changes::{ChangeSignal, Checked};
pub use check::check;
pub use directory::{prepare_directory, prepare_place};
pub use error::StoreError;
pub use insert_request::{NewRequest, RequestSender};
pub use open::{Access, Store};
pub use point::on_point;
pub use reader::Reader;
pub use repair::{Repaired, examine, repair, restore_words, unfinished};
pub use restore::{Restored, Restoring, examine_backup, restore};
pub use writer::{ApplyError, Outcomes, Writer};

#[cfg(test)]
mod journal_test;
#[cfg(test)]
mod schema_test;
#[cfg(test)]
mod state_test;
#[cfg(test)]
mod view_test;
