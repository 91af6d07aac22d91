//! Where runs work: the project's own checkout, a git worktree made for the purpose, or a plain
//! directory.
//!
//! Reading is done here with libgit2 and the file system; changing a repository is left to the git
//! binary, whose command lines this module builds and never runs. The order is: [`facts_for`],
//! [`plan::decide`], [`realise::prepare`], the commands of [`realise::commands`] (run by the
//! caller, under [`lock::WorktreeLock`]), [`realise::finish`]. Nothing here falls back to another
//! directory on its own: what cannot be done is refused with its reason.

pub mod base_ref;
pub mod choose;
pub mod clone;
pub mod close;
pub mod config_paths;
pub mod containment;
pub mod diff;
mod error;
pub mod facts;
mod git_run;
pub mod inspect;
pub mod inventory;
pub mod keep_error;
pub mod lock;
pub mod mark;
pub(crate) mod opening;
pub mod parent;
mod plain_index;
pub mod plan;
pub mod presence;
pub mod progress;
pub mod project_id;
pub mod provision;
pub mod realise;
pub mod restore;
pub mod shape;
pub mod snapshot;
mod sparse;
mod survey;
pub mod trash;
pub mod unpushed;
pub mod worktree;

#[cfg(test)]
mod keep_tests;
#[cfg(test)]
mod scratch;
#[cfg(test)]
mod tests;

pub use error::{CODE, WorkspaceError};
pub use keep_error::KeepError;
pub use plan::{Plan, Wanted, facts_for};
