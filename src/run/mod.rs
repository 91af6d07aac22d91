//! What the steps of a run do outside the store: one file each.

pub mod backup;
mod build;
mod checkout_head;
mod contact;
pub mod context;
mod ended;
pub mod execute;
mod facts;
mod followed;
mod heard;
pub mod keep;
pub mod lease;
mod left;
pub mod operation;
pub mod output;
pub mod performer;
pub mod place;
pub mod probe;
pub mod realise;
#[cfg(test)]
mod scripted;
pub mod seal;
mod trial;
pub mod watch;
