//! What wharf does is told in files of the data directory, never on the terminal.

use std::path::{Path, PathBuf};

/// The directory that is written to, once it is.
pub fn begun() -> Option<PathBuf> {
    crate::console::logging::place()
}

/// Where the files lie.
pub fn directory(data: &Path) -> PathBuf {
    data.join("log")
}

/// Begins to write them, once for each process, in a data directory that has a store. A place that
/// cannot be written is left alone: nothing of a command depends on it.
pub fn begin(data: &Path) {
    if !data.join("VERSION").exists() {
        return;
    }
    let _unwritable = crate::console::logging::start(data);
}
