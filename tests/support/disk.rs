//! Disks and stores that fail, for tests of the whole program.
#![allow(dead_code, clippy::unwrap_used, reason = "shared by several test programs")]

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Spoils the first page of a table that no screen needs at once.
pub fn spoil(data: &Path) {
    let database = data.join("wharf.db");
    let page = first_page(&database);
    let file = File::options().write(true).open(&database).unwrap();
    file.write_all_at(&[0xff; 8], (page - 1) * 4096).unwrap();
}

/// First page of the table of comments, found by its statement in the schema: `rootpage` stands right before it.
fn first_page(database: &Path) -> u64 {
    let bytes = fs::read(database).unwrap();
    let needle = b"tableissue_commentsissue_comments";
    let at = bytes.windows(needle.len()).position(|w| w == needle).expect("the schema is in the file") + needle.len();
    // The next bytes are the number, in as few as it needs, and then the statement.
    let end = bytes[at..].windows(6).position(|w| w == b"CREATE").unwrap();
    bytes[at..at + end].iter().fold(0, |n, b| n << 8 | u64::from(*b))
}

/// A small file system at the data directory; none where this user may not make one.
pub struct Small(PathBuf);

impl Small {
    pub fn at(path: &Path) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let options = "size=24m,mode=0700";
        let made = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(path).output();
        if made.is_ok_and(|o| o.status.success()) {
            return Some(Self(path.to_owned()));
        }
        let _ = writeln!(std::io::stderr(), "SKIPPED {}: no small file system can be mounted here", path.display());
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

pub fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    let mut piece = 1 << 20;
    while piece > 0 {
        if file.write(&vec![7u8; piece]).is_err() {
            piece /= 2;
        }
    }
}

/// Gives the last bytes of what [`fill`] took back.
pub fn give_back(path: &Path, bytes: u64) {
    let file = File::options().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(bytes)).unwrap();
}
