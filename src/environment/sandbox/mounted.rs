//! What is mounted in a tree, as this process sees it.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The table of mounts; its fifth word is the mount point.
const TABLE: &str = "/proc/self/mountinfo";

/// Mount points at a path or below it, of file systems and of bind mounts alike, in order of their names. The path
/// must be resolved.
///
/// # Errors
/// A table of mounts that cannot be read: then nothing is known.
pub fn within(path: &Path) -> io::Result<Vec<PathBuf>> {
    let table = std::fs::read(TABLE).map_err(|e| io::Error::new(e.kind(), format!("{TABLE}: {e}")))?;
    let mut all: Vec<PathBuf> = points(&table).filter(|point| point.starts_with(path)).collect();
    all.sort();
    all.dedup();
    Ok(all)
}

/// Says what stands in the way of moving or removing a tree, and what helps; none when nothing is mounted there.
///
/// # Errors
/// As [`within`].
pub fn in_the_way(path: &Path) -> io::Result<Option<String>> {
    let all = within(path)?;
    let Some(first) = all.first() else { return Ok(None) };
    let more = if all.len() > 1 { format!(" and at {} more places in it", all.len() - 1) } else { String::new() };
    Ok(Some(format!("something is mounted at {}{more}: unmount it first", first.display())))
}

fn points(table: &[u8]) -> impl Iterator<Item = PathBuf> + '_ {
    let lines = table.split(|b| *b == b'\n');
    lines
        .filter_map(|line| line.split(|b| *b == b' ').nth(4))
        .map(|word| PathBuf::from(OsString::from_vec(plain(word))))
}

/// Spaces, tabs, ends of lines and backslashes are written as `\` and three octal digits.
fn plain(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| byte == b'\\').and_then(|d| std::str::from_utf8(d).ok());
        if let Some(escaped) = digits.and_then(|d| u8::from_str_radix(d, 8).ok()) {
            out.push(escaped);
            rest = &after[3..];
        } else {
            out.push(byte);
            rest = after;
        }
    }
    out
}

/// Mounts for tests.
#[cfg(test)]
pub(crate) mod testing {
    use std::io::Write as _;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    /// A bind mount that goes when it is dropped; declare it after the directory that it lies in.
    pub(crate) struct Mounted(PathBuf);

    impl Mounted {
        /// Binds a directory to another; none, said, where this user may not mount.
        pub(crate) fn bind(from: &Path, to: &Path) -> Option<Self> {
            let made = Command::new("mount").arg("--bind").arg(from).arg(to).output();
            if made.is_ok_and(|o| o.status.success()) {
                return Some(Self(to.to_owned()));
            }
            let _ = writeln!(std::io::stderr(), "SKIPPED {}: nothing can be mounted here", to.display());
            None
        }
    }

    impl Drop for Mounted {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Mounted;
    use super::*;

    #[test]
    fn mount_points_are_read_with_their_odd_names() {
        let table = b"36 35 98:0 /mnt1 /a/b\\040c rw,noatime master:1 - ext3 /dev/root rw\n\
            37 35 0:5 / /proc rw - proc proc rw\n38 35 0:5 / /a/back\\134slash rw - tmpfs none rw\n";
        let all: Vec<PathBuf> = points(table).collect();
        assert_eq!(all, [Path::new("/a/b c"), Path::new("/proc"), Path::new("/a/back\\slash")]);
    }

    #[test]
    fn what_is_mounted_in_a_tree_is_found_and_what_lies_beside_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for name in ["tree/odd name", "tree2/x", "source"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        assert_eq!(in_the_way(&root.join("tree")).unwrap(), None);
        let Some(_beside) = Mounted::bind(&root.join("source"), &root.join("tree2/x")) else { return };
        assert_eq!(within(&root.join("tree")).unwrap(), Vec::<PathBuf>::new());
        let Some(_inside) = Mounted::bind(&root.join("source"), &root.join("tree/odd name")) else { return };
        assert_eq!(within(&root.join("tree")).unwrap(), [root.join("tree/odd name")]);
        let words = in_the_way(&root.join("tree")).unwrap().unwrap();
        assert!(words.contains("tree/odd name: unmount it first"), "{words}");
    }
}
