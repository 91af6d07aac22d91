//! Changing one file of a work tree: by descriptors, in one step, and never over content that is not kept.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use git2::{ObjectFormat, ObjectType, Oid, Repository};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, fchmod, fstat, mkdirat, mknodat, openat, readlinkat,
    renameat_with, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::target::Wanted;
use crate::environment::sandbox::walk;
use crate::process::kill_point::kill_point;
use crate::workspace::keep_error::KeepError;

/// A file that is being written; goes when the work is repeated.
pub(super) const NEW: &str = ".wharf-restore.new.";
/// A file that is about to change places: new content, or what was there. Goes when its content is kept.
pub(super) const OLD: &str = ".wharf-restore.old.";

/// The work tree that is changed.
pub(super) struct Hands<'r> {
    repo: &'r Repository,
    root: PathBuf,
    top: OwnedFd,
    /// The directory that was used last.
    dir: Option<(Vec<u8>, OwnedFd)>,
}

impl<'r> Hands<'r> {
    pub fn new(repo: &'r Repository, root: &Path) -> Result<Self, KeepError> {
        let top = walk::open(CWD, root.as_os_str()).map_err(KeepError::io("open", root))?;
        Ok(Self { repo, root: root.to_owned(), top, dir: None })
    }

    fn full(&self, path: &[u8]) -> PathBuf {
        self.root.join(OsStr::from_bytes(path))
    }

    fn fail(&self, what: &'static str, path: &[u8]) -> impl Fn(Errno) -> KeepError + use<> {
        let fail = KeepError::io(what, &self.full(path));
        move |e| fail(e.into())
    }

    /// Opens a directory, which is made where it is not there, and makes it writable for its owner.
    fn enter(&mut self, path: &[u8]) -> Result<&OwnedFd, KeepError> {
        if self.dir.as_ref().is_none_or(|(at, _)| at != path) {
            let fail = KeepError::io("open", &self.full(path));
            let mut here = walk::open(&self.top, OsStr::new(".")).map_err(&fail)?;
            for name in path.split(|b| *b == b'/').filter(|n| !n.is_empty()) {
                let name = OsStr::from_bytes(name);
                make_writable(&here).map_err(&fail)?;
                match mkdirat(&here, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(e) => return Err(self.fail("make", path)(e)),
                }
                here = walk::open(&here, name).map_err(&fail)?;
            }
            make_writable(&here).map_err(&fail)?;
            self.dir = Some((path.to_vec(), here));
        }
        match &self.dir {
            Some((_, fd)) => Ok(fd),
            None => Ok(&self.top),
        }
    }

    /// Makes a directory.
    pub fn make_dir(&mut self, path: &[u8]) -> Result<(), KeepError> {
        self.enter(path).map(drop)
    }

    /// Removes a directory if nothing is in it.
    pub fn remove_dir_if_empty(&mut self, path: &[u8]) -> Result<bool, KeepError> {
        let fail = self.fail("remove", path);
        self.dir = None;
        let (above, name) = split(path);
        if statat(&self.top, OsStr::from_bytes(path), AtFlags::SYMLINK_NOFOLLOW).is_err() {
            return Ok(false);
        }
        match unlinkat(self.enter(above)?, name, AtFlags::REMOVEDIR) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => Ok(false),
            Err(e) => Err(fail(e)),
        }
    }

    /// Puts a file there. `over` is the content that may be replaced; with none the name must be free.
    pub fn put(&mut self, path: &[u8], wanted: Wanted, over: Option<(Oid, bool)>) -> Result<(), KeepError> {
        let (above, name) = split(path);
        let (new, old) = temporary();
        let (repo, fail) = (self.repo, self.fail("write", path));
        let full = self.full(path);
        let dir = self.enter(above)?;
        write_new(repo, dir, &new, wanted, &full)?;
        kill_point("workspace.restore_written");
        renameat_with(dir, &new, dir, &old, RenameFlags::NOREPLACE).map_err(&fail)?;
        let Some(over) = over else {
            return match renameat_with(dir, &old, dir, name, RenameFlags::NOREPLACE) {
                Ok(()) => Ok(()),
                Err(e) => {
                    unlinkat(dir, &old, AtFlags::empty()).map_err(&fail)?;
                    Err(if e == Errno::EXIST { changed(&full) } else { fail(e) })
                }
            };
        };
        match renameat_with(dir, &old, dir, name, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            Err(e) => {
                unlinkat(dir, &old, AtFlags::empty()).map_err(&fail)?;
                return Err(if e == Errno::NOENT { changed(&full) } else { fail(e) });
            }
        }
        kill_point("workspace.restore_exchanged");
        if content(over.0.object_format(), dir, &old).is_ok_and(|now| now == over) {
            return unlinkat(dir, &old, AtFlags::empty()).map_err(fail);
        }
        renameat_with(dir, &old, dir, name, RenameFlags::EXCHANGE).map_err(&fail)?;
        unlinkat(dir, &old, AtFlags::empty()).map_err(fail)?;
        Err(changed(&full))
    }

    /// Removes a file whose content is `kept`. False when it is gone already.
    pub fn remove(&mut self, path: &[u8], kept: (Oid, bool)) -> Result<bool, KeepError> {
        let (above, name) = split(path);
        let (_, old) = temporary();
        let (full, fail) = (self.full(path), self.fail("remove", path));
        let dir = self.enter(above)?;
        match renameat_with(dir, name, dir, &old, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(false),
            Err(e) => return Err(fail(e)),
        }
        if content(kept.0.object_format(), dir, &old).is_ok_and(|now| now == kept) {
            return unlinkat(dir, &old, AtFlags::empty()).map_err(fail).map(|()| true);
        }
        renameat_with(dir, &old, dir, name, RenameFlags::NOREPLACE).map_err(fail)?;
        Err(changed(&full))
    }

    /// Removes what an earlier attempt left, where its content is kept.
    pub fn remove_left(&mut self, path: &[u8], is_kept: impl Fn((Oid, bool)) -> bool) -> Result<(), KeepError> {
        let (above, name) = split(path);
        let (full, fail) = (self.full(path), self.fail("remove", path));
        let format = self.repo.object_format();
        let dir = self.enter(above)?;
        if !name.as_bytes().starts_with(NEW.as_bytes()) && !content(format, dir, name).is_ok_and(is_kept) {
            return Err(KeepError::InTheWay { path: full, what: "set aside by an earlier restore" });
        }
        unlinkat(dir, name, AtFlags::empty()).map_err(fail)
    }

    /// Makes a named pipe, unless something has the name.
    pub fn make_pipe(&mut self, path: &[u8]) -> Result<(), KeepError> {
        let (above, name) = split(path);
        let fail = self.fail("make the pipe", path);
        match mknodat(self.enter(above)?, name, FileType::Fifo, Mode::from_raw_mode(0o644), 0) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(e) => Err(fail(e)),
        }
    }

    /// Sets the mode of a file or directory that is no link.
    pub fn set_mode(&mut self, path: &[u8], mode: u32) -> Result<(), KeepError> {
        let (above, name) = split(path);
        let fail = self.fail("set the mode of", path);
        let above = walk::below(&self.top, Path::new(OsStr::from_bytes(above)));
        let above = above.map_err(KeepError::io("open the directory of", &self.full(path)))?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match openat(&above, name, flags, Mode::empty()) {
            Ok(fd) => fchmod(&fd, Mode::from_raw_mode(mode)).map_err(fail),
            Err(Errno::ACCESS) => {
                rustix::fs::chmodat(&above, name, Mode::from_raw_mode(mode), AtFlags::empty()).map_err(fail)
            }
            Err(e) => Err(fail(e)),
        }
    }

    /// What is at a path now; none when nothing is.
    pub fn kind(&self, path: &[u8]) -> Result<Option<FileType>, KeepError> {
        match statat(&self.top, OsStr::from_bytes(path), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(e) => Err(self.fail("look at", path)(e)),
        }
    }

    /// Content of a path, and whether it is a link.
    pub fn content(&self, path: &[u8]) -> Result<(Oid, bool), KeepError> {
        let (above, name) = split(path);
        let dir = walk::below(&self.top, Path::new(OsStr::from_bytes(above)));
        dir.and_then(|dir| content(self.repo.object_format(), &dir, name))
            .map_err(KeepError::io("read", &self.full(path)))
    }
}

fn changed(path: &Path) -> KeepError {
    KeepError::Changed { path: path.to_owned(), why: "it is not what was kept of it".to_owned() }
}

fn temporary() -> (String, String) {
    let id = uuid::Uuid::now_v7().simple().to_string();
    (format!("{NEW}{id}"), format!("{OLD}{id}"))
}

pub(super) fn split(path: &[u8]) -> (&[u8], &OsStr) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], OsStr::from_bytes(&path[at + 1..])),
        None => (&[], OsStr::from_bytes(path)),
    }
}

fn make_writable(dir: &OwnedFd) -> io::Result<()> {
    let mode = Mode::from_raw_mode(fstat(dir)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        fchmod(dir, mode | Mode::RWXU)?;
    }
    Ok(())
}

fn content(format: ObjectFormat, dir: &OwnedFd, name: impl AsRef<OsStr>) -> io::Result<(Oid, bool)> {
    let name = name.as_ref();
    let wrong = |e: git2::Error| io::Error::other(e.message().to_owned());
    match readlinkat(dir, name, Vec::new()) {
        Ok(target) => {
            return Ok((Oid::hash_object_ext(ObjectType::Blob, target.as_bytes(), format).map_err(wrong)?, true));
        }
        Err(Errno::INVAL) => {}
        Err(e) => return Err(e.into()),
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(openat(dir, name, flags, Mode::empty())?);
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is no file"));
    }
    if meta.len() > 8 << 20 {
        // By its descriptor's name, so that nothing else can take its place.
        use std::os::fd::AsRawFd as _;
        let own = format!("/proc/self/fd/{}", file.as_raw_fd());
        return Ok((Oid::hash_file_ext(ObjectType::Blob, own, format).map_err(wrong)?, false));
    }
    let mut data = Vec::new();
    file.read_to_end(&mut data)?;
    Ok((Oid::hash_object_ext(ObjectType::Blob, &data, format).map_err(wrong)?, false))
}

fn write_new(repo: &Repository, dir: &OwnedFd, name: &str, wanted: Wanted, full: &Path) -> Result<(), KeepError> {
    let odb = repo.odb().map_err(KeepError::git("open the objects", full))?;
    let io_fail = KeepError::io("write", full);
    if wanted.link {
        let object = odb.read(wanted.id).map_err(KeepError::git("read the snapshot's content of", full))?;
        return symlinkat(OsStr::from_bytes(object.data()), dir, name).map_err(|e| io_fail(e.into()));
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(dir, name, flags, Mode::from_raw_mode(0o600)).map_err(|e| io_fail(e.into()))?;
    let mut file = File::from(fd);
    // A loose object is streamed; one in a pack is read as a whole.
    if let Ok((mut reader, _, _)) = odb.reader(wanted.id) {
        io::copy(&mut reader, &mut file).map_err(&io_fail)?;
    } else {
        let object = odb.read(wanted.id).map_err(KeepError::git("read the snapshot's content of", full))?;
        file.write_all(object.data()).map_err(&io_fail)?;
    }
    fchmod(&file, Mode::from_raw_mode(wanted.mode)).map_err(|e| io_fail(e.into()))
}
