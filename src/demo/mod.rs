//! The demo: a small project whose agents do real work by plain processes, made in a place of its own.
//!
//! [`project`] makes it, [`stage`] orchestrates it in this process, [`evidence`] looks at what its
//! agents left behind, [`headless`] plays it from its beginning to its end, [`watched`] begins it
//! for a console. [`hand`] is what its agents need beyond `sh`, git and coreutils.

pub mod cast;
pub mod evidence;
pub mod hand;
pub mod headless;
pub mod project;
pub mod remains;
pub mod stage;
pub mod watched;

use std::path::{Path, PathBuf};

use wharf_store::StoreError;

/// Why the demo cannot be made or played.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A file or directory of it cannot be made, read or removed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried, as in "make".
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The given directory holds something.
    #[error("{} is not empty; the demo needs a directory of its own", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// There is no demo to be removed.
    #[error("{} is no directory that `wharf demo` made; nothing is removed", path.display())]
    NoDemo {
        /// The directory.
        path: PathBuf,
    },
    /// A path cannot be written into a config.
    #[error("the path {} cannot stand in a config; set TMPDIR or --dir to another place", path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// git said no.
    #[error("git {args} failed in {}: {message}", dir.display())]
    Git {
        /// Its arguments.
        args: String,
        /// Where.
        dir: PathBuf,
        /// What it said.
        message: String,
    },
    /// The store of the demo refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody else orchestrates in the demo's directory.
    #[error("process {0} orchestrates in the demo's data directory already")]
    Held(i32),
    /// The orchestrator of the demo ended.
    #[error("the demo's orchestrator ended: {0}")]
    Ended(String),
    /// A request of the demo was not carried out.
    #[error("{kind} was refused ({code}): {message}")]
    Refused {
        /// Kind of the request.
        kind: &'static str,
        /// Error code.
        code: String,
        /// In words.
        message: String,
    },
    /// Something did not happen in time.
    #[error("{0} did not happen in time")]
    Late(String),
    /// The operator ended it.
    #[error("interrupted")]
    Interrupted,
}

impl DemoError {
    /// An error about a file.
    pub(crate) fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source }
    }
}
