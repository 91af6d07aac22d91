//! The data directory: whose it is, where it lies, and whether a store may live in it.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::StoreError;

/// Format of the directory, in its file VERSION.
const FORMAT: i64 = 1;
/// Rights of group and others.
pub(crate) const OTHERS: u32 = 0o077;
/// Longest VERSION file that is read.
const VERSION_LIMIT: usize = 64;

/// Path of the database.
pub(crate) fn database(dir: &Path) -> PathBuf {
    dir.join("wharf.db")
}

/// Path of the database's journal.
pub(crate) fn journal(dir: &Path) -> PathBuf {
    dir.join("wharf.db-wal")
}

/// Directory of backups.
pub(crate) fn backups(dir: &Path) -> PathBuf {
    dir.join("backups")
}

/// Makes the directory when it is not there, for this user only.
pub(crate) fn make(dir: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| unusable(dir, "cannot make the data directory", e))
}

/// A path at which no directory can be is refused as such; anything else is told as it is.
fn unusable(dir: &Path, doing: &'static str, error: io::Error) -> StoreError {
    use rustix::io::Errno;
    let none = [Errno::NOTDIR, Errno::EXIST, Errno::LOOP, Errno::NAMETOOLONG, Errno::INVAL].map(Errno::raw_os_error);
    match error.raw_os_error() {
        Some(code) if code == Errno::LOOP.raw_os_error() => StoreError::Refused {
            path: dir.to_owned(),
            cause: "its symbolic links lead in a circle; set WHARF_DATA_DIR to a directory".to_owned(),
        },
        Some(code) if none.contains(&code) => {
            let cause = format!("there can be no directory here ({error}); set WHARF_DATA_DIR to one");
            StoreError::Refused { path: dir.to_owned(), cause }
        }
        _ => StoreError::io(dir, doing, error),
    }
}

/// Refuses a directory of another user, on a network file system, or that is none.
pub(crate) fn check(dir: &Path) -> Result<(), StoreError> {
    let meta = match fs::metadata(dir) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(StoreError::Missing { path: dir.to_owned() }),
        Err(e) => return Err(unusable(dir, "cannot look at the data directory", e)),
    };
    let refuse = |cause: String| Err(StoreError::Refused { path: dir.to_owned(), cause });
    if !meta.is_dir() {
        return refuse("this is no directory; set WHARF_DATA_DIR to one".into());
    }
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() != me {
        return refuse(format!(
            "the directory belongs to user {}, wharf runs as user {me}; run it as the owner, or set WHARF_DATA_DIR",
            meta.uid()
        ));
    }
    if meta.mode() & 0o022 != 0 {
        return refuse(format!(
            "others may write here (mode {:o}); look who did, then take it away with chmod 700",
            meta.mode() & 0o7777
        ));
    }
    match network_name(dir, meta.dev())? {
        None => check_files(dir, me),
        Some(name) => refuse(format!(
            "this lies on a network file system ({name}), where locks and syncs cannot be trusted; set WHARF_DATA_DIR to a local disk"
        )),
    }
}

/// Refuses files of a store that are somebody else's, or lie elsewhere: SQLite would put a journal beside the real
/// file, where nobody looks for it.
fn check_files(dir: &Path, me: u32) -> Result<(), StoreError> {
    for path in [database(dir), journal(dir), dir.join("wharf.db-shm"), dir.join("VERSION")] {
        let meta = match fs::symlink_metadata(&path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(StoreError::io(&path, "cannot be looked at", e)),
        };
        if meta.is_symlink() {
            let cause = "this is a symbolic link, and wharf keeps its files in the directory itself; move the file here, or set WHARF_DATA_DIR to where it is";
            return Err(StoreError::Refused { path, cause: cause.into() });
        }
        if meta.uid() != me {
            let cause = format!(
                "the file belongs to user {}, wharf runs as user {me}; run it as the owner, or give the file back with chown",
                meta.uid()
            );
            return Err(StoreError::Refused { path, cause });
        }
    }
    Ok(())
}

/// Makes a data directory and looks at everything that can be seen without its database, so that the orchestrator's
/// lock may be put into it.
///
/// # Errors
/// See [`StoreError`]: another user's, a network file system, a newer format, no room.
pub fn prepare_directory(dir: &Path) -> Result<(), StoreError> {
    make(dir)?;
    check(dir)?;
    check_writable(dir)?;
    version(dir).map(|_| ())
}

/// As [`prepare_directory`], for whoever is about to mend what stands in it: a damaged VERSION is none of its errors.
pub fn prepare_place(dir: &Path) -> Result<(), StoreError> {
    match prepare_directory(dir) {
        Err(StoreError::Damaged { .. }) => Ok(()),
        other => other,
    }
}

/// Refuses a directory that cannot be written; takes the group's and others' rights away.
pub(crate) fn check_writable(dir: &Path) -> Result<(), StoreError> {
    use rustix::fs::Access;
    rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|e| StoreError::io(dir, "cannot write to the data directory", e.into()))?;
    close_to_others(dir, 0o700)
}

/// Takes rights of group and others away from a file or directory of ours.
pub(crate) fn close_to_others(path: &Path, mode: u32) -> Result<(), StoreError> {
    let found = fs::metadata(path).map_err(|e| StoreError::io(path, "cannot look at it", e))?.mode();
    if found & OTHERS == 0 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(|e| StoreError::io(path, "cannot take rights of others away", e))
}

/// Reads VERSION: whether there is one. A format of the future is refused before anything is opened.
pub(crate) fn version(dir: &Path) -> Result<bool, StoreError> {
    let path = dir.join("VERSION");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(StoreError::io(&path, "cannot be read", e)),
    };
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(VERSION_LIMIT)]).trim().to_owned();
    match shown.parse::<i64>() {
        Ok(FORMAT) => Ok(true),
        Ok(found) if found > FORMAT => Err(StoreError::Newer { path, found, known: FORMAT }),
        _ => Err(StoreError::Damaged { path, cause: format!("expected {FORMAT}, found {shown:?}") }),
    }
}

/// Writes VERSION durably; the last thing done when a store is made.
pub(crate) fn write_version(dir: &Path) -> Result<(), StoreError> {
    let (path, made) = (dir.join("VERSION"), dir.join("VERSION.new"));
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&made)?;
        writeln!(file, "{FORMAT}")?;
        file.sync_all()?;
        fs::rename(&made, &path)?;
        fs::File::open(dir)?.sync_all()
    };
    write().map_err(|e| StoreError::io(&path, "cannot be written", e))
}

/// Kinds of file systems, by `f_type`, that live on another machine.
const NETWORK: &[(u32, &str)] = &[
    (0x6969, "nfs"),
    (0x517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x0102_1997, "9p"),
    (0x5346_414f, "afs"),
    (0x7375_7245, "coda"),
    (0x00c3_6400, "ceph"),
    (0x0bd0_0bd0, "lustre"),
    (0x564c, "ncp"),
    (0x786f_4256, "vboxsf"),
];
/// Any file system of a user's process; the mount table tells which.
const FUSE: u32 = 0x6573_5546;
/// FUSE file systems whose bytes lie elsewhere.
const NETWORK_FUSE: &[&str] = &[
    "sshfs",
    "rclone",
    "s3fs",
    "goofys",
    "gcsfuse",
    "curlftpfs",
    "davfs",
    "glusterfs",
    "ceph",
    "smbnetfs",
    "gvfsd-fuse",
];

fn network_name(dir: &Path, device: u64) -> Result<Option<String>, StoreError> {
    let found = rustix::fs::statfs(dir).map_err(|e| StoreError::io(dir, "cannot tell the file system", e.into()))?;
    // The word's width differs between machines; all kinds fit into 32 bits.
    let kind = found.f_type as u32;
    if let Some((_, name)) = NETWORK.iter().find(|(magic, _)| *magic == kind) {
        return Ok(Some((*name).to_owned()));
    }
    if kind != FUSE {
        return Ok(None);
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    Ok(fuse_name(&mounts, rustix::fs::major(device), rustix::fs::minor(device)))
}

/// The name of a network file system among the mounts, when the device is one.
fn fuse_name(mounts: &str, major: u32, minor: u32) -> Option<String> {
    let device = format!("{major}:{minor}");
    let line = mounts.lines().find(|l| l.split_ascii_whitespace().nth(2) == Some(device.as_str()))?;
    let kind = line.split_once(" - ")?.1.split_ascii_whitespace().next()?;
    let name = kind.strip_prefix("fuse.")?;
    NETWORK_FUSE.iter().any(|n| name.starts_with(n)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuse_by_name() {
        let mounts = "25 1 0:22 / /proc rw shared:5 - proc proc rw\n\
                      90 1 0:51 / /home/a/far rw,nosuid - fuse.sshfs a@b:/ rw,user_id=1\n\
                      91 1 0:52 / /mnt/ntfs rw - fuseblk /dev/sdb1 rw\n\
                      92 1 0:53 / /mnt/over rw - fuse.fuse-overlayfs x rw\n";
        assert_eq!(fuse_name(mounts, 0, 51).as_deref(), Some("sshfs"));
        for minor in [22, 52, 53, 99] {
            assert_eq!(fuse_name(mounts, 0, minor), None, "{minor}");
        }
    }

    #[test]
    fn where_no_directory_can_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), "").unwrap();
        std::os::unix::fs::symlink(path("circle"), path("circle")).unwrap();
        std::os::unix::fs::symlink(path("nothing"), path("dangling")).unwrap();
        for name in ["file", "file/below", "circle", "circle/below", &"x".repeat(300)] {
            let looked = check(&path(name)).unwrap_err();
            let made = prepare_directory(&path(name)).unwrap_err();
            assert_eq!((looked.code(), made.code()), ("store_refused", "store_refused"), "{name}: {looked} / {made}");
            assert!(made.to_string().contains("; set WHARF_DATA_DIR"), "{made}");
        }
        assert_eq!(prepare_directory(&path("dangling")).unwrap_err().code(), "store_refused");
        assert_eq!(check(&path("none")).unwrap_err().code(), "store_missing");
    }

    #[test]
    fn version_file_table() {
        let table: [(&[u8], Result<bool, &str>); 7] = [
            (b"1\n", Ok(true)),
            (b"1", Ok(true)),
            (b"2\n", Err("store_newer")),
            (b"", Err("store_damaged")),
            (b"0", Err("store_damaged")),
            (b"\xff\xfe", Err("store_damaged")),
            (b"one", Err("store_damaged")),
        ];
        for (bytes, expected) in table {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("VERSION"), bytes).unwrap();
            assert_eq!(version(dir.path()).map_err(|e| e.code()), expected, "{bytes:?}");
        }
        assert!(!version(tempfile::tempdir().unwrap().path()).unwrap());
    }
}
