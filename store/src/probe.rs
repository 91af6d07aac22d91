//! Looking at files of a store beside SQLite.
//!
//! The kernel drops all of a process's record locks on a file when the process closes any descriptor of it. SQLite's
//! locks are such, so whoever opens the database or its index by the way and closes it again would take the locks of
//! every connection of this process with it: another process would believe itself alone. So what is opened here is
//! kept for the life of the process, one descriptor for each file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Device and number of a file.
type Identity = (u64, u64);

static KEPT: Mutex<BTreeMap<Identity, Vec<Arc<File>>>> = Mutex::new(BTreeMap::new());

/// The file at a path, for reading at places; never closed.
pub(crate) fn file(path: &Path) -> io::Result<Arc<File>> {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let identity = |meta: &fs::Metadata| (meta.dev(), meta.ino());
    if let Some(file) = kept.get(&identity(&fs::metadata(path)?)).and_then(|files| files.first()) {
        return Ok(Arc::clone(file));
    }
    let file = Arc::new(File::open(path)?);
    // Another file may have come in its place since; one descriptor too many is kept as well.
    kept.entry(identity(&file.metadata()?)).or_default().push(Arc::clone(&file));
    Ok(file)
}
