//! What the steps of a run do outside the store: one file each.

pub mod archive;
pub mod backup;
mod build;
mod checkout_head;
mod contact;
pub mod context;
pub mod empty;
mod ended;
pub mod execute;
mod facts;
mod followed;
mod heard;
pub mod job;
pub mod keep;
pub mod lease;
mod left;
pub mod operation;
pub mod output;
pub mod performer;
pub mod place;
pub mod probe;
pub mod realise;
pub mod resting;
pub mod restore;
#[cfg(test)]
mod scripted;
pub mod seal;
pub mod snapshot;
mod trial;
pub mod watch;
