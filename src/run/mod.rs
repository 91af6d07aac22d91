//! What the steps of a run do outside the store: one file each.

pub mod backup;
pub mod context;
pub mod execute;
pub mod keep;
pub mod lease;
mod left;
pub mod operation;
pub mod output;
pub mod performer;
pub mod probe;
pub mod realise;
pub mod seal;
