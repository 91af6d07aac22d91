//! Reading the first bytes of a database without taking SQLite's locks away.
//!
//! A process's POSIX locks on a file end as soon as it closes *any* descriptor of that file. SQLite's
//! connections of this process hold such locks, which tell other programs that the journal is in use: were
//! they gone, another program that looks into the database would take itself for the last one and delete
//! the journal under us when it leaves. So what is opened here stays open.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// By device and inode; one for each database that this process has looked at and that still has a name.
static OPEN: Mutex<BTreeMap<(u64, u64), File>> = Mutex::new(BTreeMap::new());

/// Fills `into` from the beginning of the file at `path`; gives the file's length.
///
/// # Errors
/// What the file system says; [`io::ErrorKind::UnexpectedEof`] when the file is shorter.
pub fn read(path: &Path, into: &mut [u8]) -> io::Result<u64> {
    let meta = std::fs::metadata(path)?;
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    // Nobody can come to a file without a name any more: its locks protect nothing.
    open.retain(|_, file| file.metadata().is_ok_and(|meta| meta.nlink() > 0));
    let key = (meta.dev(), meta.ino());
    if !open.contains_key(&key) {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        // Another file may have come to this name in between; either way it stays open under its own key.
        open.insert((meta.dev(), meta.ino()), file);
        if (meta.dev(), meta.ino()) != key {
            return Err(io::Error::other("it was replaced while it was looked at"));
        }
    }
    let file = &open[&key];
    file.read_exact_at(into, 0)?;
    Ok(file.metadata()?.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_read_anew_and_one_without_a_name_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&path, "first").unwrap();
        let mut bytes = [0u8; 5];
        assert_eq!(read(&path, &mut bytes).unwrap(), 5);
        assert_eq!(&bytes, b"first");
        std::fs::write(&other, "other!").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_eq!(read(&path, &mut bytes).unwrap(), 6);
        assert_eq!(&bytes, b"other");
        assert_eq!(read(&path, &mut [0u8; 7]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read(&path, &mut bytes).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
