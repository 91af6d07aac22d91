//! Everything in a directory, sorted by what git makes of it: one walk for the close check, the snapshot, the
//! restore and the inventory. By descriptors, never through a link, within bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::time::Instant;

use git2::{IndexEntry, Repository};
use rustix::fs::{AtFlags, CWD, FileType, Stat, readlinkat, statat};

use super::keep_error::KeepError;
use super::opening;
use crate::environment::sandbox::walk;

/// Mode of a submodule in an index.
pub(crate) const GITLINK: u32 = 0o160_000;
/// Flag of an entry that a sparse checkout leaves out.
pub(crate) const SKIP_WORKTREE: u16 = 0x4000;
/// Flag of an entry whose changes git was told not to look for.
pub(crate) const ASSUME_UNCHANGED: u16 = 0x8000;
/// Directories that are opened, at most: each is opened from the top.
const STEPS_MAX: usize = 16_000_000;
/// Reasons that are kept.
const TROUBLES_MAX: usize = 50;

/// What git tracks: its index, read and not written.
#[derive(Debug, Default)]
pub(crate) struct Tracked {
    /// Entries by path; those of a conflict are in it with their stages.
    pub entries: BTreeMap<Vec<u8>, Vec<IndexEntry>>,
    /// When the index was written, in seconds: entries that are as young may have changed since.
    pub written: i64,
}

impl Tracked {
    /// Reads the index of a checkout.
    pub fn read(repo: &Repository, entries_max: usize) -> Result<Self, KeepError> {
        let written = opening::index_path(repo).metadata().map_or(0, |m| std::os::unix::fs::MetadataExt::mtime(&m));
        let index = opening::index(repo)?;
        if index.len() > entries_max {
            let why = format!("its index has more than {entries_max} entries");
            return Err(KeepError::TooLarge { path: repo.workdir().unwrap_or(repo.path()).to_owned(), why });
        }
        let mut entries: BTreeMap<Vec<u8>, Vec<IndexEntry>> = BTreeMap::new();
        for entry in index.iter() {
            entries.entry(entry.path.clone()).or_default().push(entry);
        }
        Ok(Self { entries, written })
    }

    /// The entry of a path that is in no conflict.
    pub fn plain(&self, path: &[u8]) -> Option<&IndexEntry> {
        self.entries.get(path).and_then(|all| all.iter().find(|e| stage(e) == 0))
    }

    /// Whether anything below a directory is tracked.
    pub fn holds_below(&self, dir: &[u8]) -> bool {
        let mut start = dir.to_vec();
        start.push(b'/');
        self.entries.range(start.clone()..).next().is_some_and(|(path, _)| path.starts_with(&start))
    }
}

/// Which side of a conflict an entry is; 0 for none.
pub(crate) fn stage(entry: &IndexEntry) -> u16 {
    (entry.flags >> 12) & 3
}

/// What a file is to git.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// In the index.
    Tracked,
    /// Not in the index, not ignored.
    Untracked,
}

/// A regular file or a link outside of what is ignored or a repository of its own.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// Below the top, with slashes.
    pub path: Vec<u8>,
    /// To git.
    pub class: Class,
    /// Whether it is a link.
    pub link: bool,
    /// When it was looked at.
    pub stat: Stat,
}

impl Item {
    /// Whether the index has it as it lies there, so that it need not be read. Filters are not considered.
    pub fn is_as_indexed(&self, entry: &IndexEntry, written: i64) -> bool {
        let s = &self.stat;
        let time =
            |e: &git2::IndexTime, sec: i64, nano: i64| (e.seconds(), i64::from(e.nanoseconds())) == (sec as i32, nano);
        time(&entry.mtime, s.st_mtime, s.st_mtime_nsec as i64)
            && time(&entry.ctime, s.st_ctime, s.st_ctime_nsec as i64)
            && entry.file_size == s.st_size as u32
            && entry.ino == s.st_ino as u32
            && s.st_mtime < written
            && entry.mode == self.git_mode()
    }

    /// As git would have it in a tree.
    pub fn git_mode(&self) -> u32 {
        match (self.link, self.stat.st_mode & 0o100) {
            (true, _) => 0o120_000,
            (false, 0) => 0o100_644,
            (false, _) => 0o100_755,
        }
    }
}

/// Bounds of a walk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Most entries.
    pub entries: usize,
    /// When to stop.
    pub until: Instant,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// Files and links, directory by directory.
    pub items: Vec<Item>,
    /// Ignored files; of an ignored directory only itself, with a slash.
    pub ignored: Vec<Vec<u8>>,
    /// Repositories that are no submodules.
    pub nested: Vec<Vec<u8>>,
    /// Submodules that have a `.git`.
    pub submodules: Vec<Vec<u8>>,
    /// Sockets, pipes and devices that are not ignored.
    pub special: Vec<(Vec<u8>, FileType)>,
    /// Directories with nothing in them that are not ignored.
    pub empty: Vec<Vec<u8>>,
    /// Directories that are not ignored, with their modes.
    pub dirs: Vec<(Vec<u8>, u32)>,
    /// Links that lead out: `name -> target`.
    pub links_out: Vec<String>,
    /// Directories that hold something that is not ignored.
    live: BTreeSet<Vec<u8>>,
    /// Bytes of all files, a file with several names counted once.
    pub bytes: u64,
    /// Entries that were looked at.
    pub entries: usize,
    /// Newest change of a file, in milliseconds.
    pub newest: Option<i64>,
    /// What could not be looked at below what is ignored or a repository of its own.
    pub unseen: Vec<String>,
    /// Whether a bound was reached.
    pub cut: bool,
    /// What could not be looked at; where there is anything, the rest is not all.
    pub troubles: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// git looks into it.
    Seen,
    /// It is ignored, or a repository of its own: of interest are bytes, links and repositories.
    Opaque,
    /// A git directory: of interest are its bytes.
    Git,
}

struct Walk<'a> {
    top: PathBuf,
    repo: Option<&'a Repository>,
    tracked: &'a Tracked,
    found: Survey,
    several: BTreeSet<(u64, u64)>,
    todo: Vec<(Vec<u8>, Mode)>,
    /// What git does not look into: after all that it does.
    aside: Vec<(Vec<u8>, Mode)>,
}

/// Walks through a directory. Without a repository everything is untracked.
pub(crate) fn survey(top: &Path, repo: Option<&Repository>, tracked: &Tracked, bounds: Bounds) -> Survey {
    let mut walk = Walk {
        top: top.to_owned(),
        repo,
        tracked,
        found: Survey::default(),
        several: BTreeSet::new(),
        todo: vec![(Vec::new(), Mode::Seen)],
        aside: Vec::new(),
    };
    match walk::open(CWD, top.as_os_str()) {
        Ok(first) => walk.all(&first, bounds),
        Err(e) => walk.trouble(&[], Mode::Seen, &e.to_string()),
    }
    walk.found
}

impl Walk<'_> {
    fn all(&mut self, first: &OwnedFd, bounds: Bounds) {
        let mut steps = 0;
        let mut until = bounds.until;
        loop {
            let Some((dir, mode)) = self.todo.pop().or_else(|| {
                if self.aside.is_empty() {
                    return None;
                }
                self.todo = std::mem::take(&mut self.aside);
                self.todo.pop()
            }) else {
                return;
            };
            if mode != Mode::Seen && until == bounds.until {
                // The rest of the time belongs to reading what is kept.
                until = Instant::now() + bounds.until.saturating_duration_since(Instant::now()) / 2;
            }
            steps += dir.split(|b| *b == b'/').count();
            // Of what git does not look into, the trash keeps any number.
            let left = if mode == Mode::Seen { bounds.entries.saturating_sub(self.found.entries) } else { STEPS_MAX };
            if steps > STEPS_MAX || left == 0 {
                self.found.cut = true;
                return self.trouble(&[], mode, &format!("it has more than {} entries", bounds.entries));
            }
            if Instant::now() > until {
                self.found.cut = true;
                return self.trouble(&[], mode, "it took too long");
            }
            let path = Path::new(OsStr::from_bytes(&dir));
            let opened = walk::below(first, path).and_then(|fd| names(&fd, left).map(|names| (fd, names)));
            match opened {
                Ok((_, None)) => {
                    self.found.cut = true;
                    return self.trouble(&[], mode, &format!("it has more than {} entries", bounds.entries));
                }
                Ok((fd, Some(names))) => self.dir(&fd, &dir, mode, names),
                // It went meanwhile: what went is not there to be lost.
                Err(e) if e.kind() == ErrorKind::NotFound && !dir.is_empty() => {}
                Err(e) => self.trouble(&dir, mode, &e.to_string()),
            }
        }
    }

    fn trouble(&mut self, dir: &[u8], mode: Mode, why: &str) {
        let troubles = if mode == Mode::Seen { &mut self.found.troubles } else { &mut self.found.unseen };
        if troubles.len() < TROUBLES_MAX {
            let at = self.top.join(OsStr::from_bytes(dir));
            troubles.push(format!("{} cannot be looked through: {why}", at.display()));
        }
    }

    fn dir(&mut self, fd: &OwnedFd, dir: &[u8], mode: Mode, names: Vec<OsString>) {
        if mode == Mode::Seen && names.is_empty() && !dir.is_empty() {
            self.found.empty.push(dir.to_vec());
            self.alive(dir);
        }
        let mut below = Vec::new();
        for name in names {
            self.found.entries += usize::from(mode == Mode::Seen);
            let mut path = dir.to_vec();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.as_bytes());
            let stat = match statat(fd, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(rustix::io::Errno::NOENT) => continue,
                Err(e) => {
                    self.trouble(&path, mode, &e.to_string());
                    continue;
                }
            };
            let kind = FileType::from_raw_mode(stat.st_mode);
            if kind == FileType::Directory {
                let inner = self.directory(fd, &name, &path, mode, &stat);
                below.push((path, inner));
            } else {
                self.file(fd, &name, path, mode, stat, kind);
            }
        }
        // The last one is taken first.
        let (seen, aside): (Vec<_>, Vec<_>) = below.into_iter().rev().partition(|(_, inner)| *inner == mode);
        self.todo.extend(seen);
        self.aside.extend(aside);
    }

    fn directory(&mut self, fd: &OwnedFd, name: &OsStr, path: &[u8], mode: Mode, stat: &Stat) -> Mode {
        if mode == Mode::Git || name == ".git" {
            return Mode::Git;
        }
        if self.tracked.plain(path).is_some_and(|e| e.mode == GITLINK) {
            self.alive(path);
            if has(fd, name, ".git") {
                self.found.submodules.push(path.to_vec());
            }
            return Mode::Opaque;
        }
        let bare = || has(fd, name, "HEAD") && has(fd, name, "objects") && has(fd, name, "refs");
        let holds_tracked = mode == Mode::Seen && self.tracked.holds_below(path);
        if has(fd, name, ".git") || bare() {
            self.found.nested.push(path.to_vec());
            if mode == Mode::Seen {
                self.alive(path);
            }
            return if holds_tracked { Mode::Seen } else { Mode::Opaque };
        }
        if mode == Mode::Seen {
            if !holds_tracked && self.is_ignored(path, true) {
                let mut shown = path.to_vec();
                shown.push(b'/');
                self.found.ignored.push(shown);
                return Mode::Opaque;
            }
            self.found.dirs.push((path.to_vec(), stat.st_mode & 0o7777));
        }
        mode
    }

    fn file(&mut self, fd: &OwnedFd, name: &OsStr, path: Vec<u8>, mode: Mode, stat: Stat, kind: FileType) {
        let regular = kind == FileType::RegularFile;
        if regular && (stat.st_nlink < 2 || self.several.insert((stat.st_dev, stat.st_ino))) {
            self.found.bytes += stat.st_size as u64;
        }
        if mode != Mode::Git {
            let changed = stat.st_mtime.saturating_mul(1000) + stat.st_mtime_nsec as i64 / 1_000_000;
            self.found.newest = self.found.newest.max(Some(changed));
        }
        let link = kind == FileType::Symlink;
        if link && mode != Mode::Git {
            match readlinkat(fd, name, Vec::new()) {
                Ok(target) => self.link(&path, target.as_bytes()),
                Err(e) => self.trouble(&path, mode, &e.to_string()),
            }
        }
        // The worktree's own `.git`, or that of a repository inside, is no file of the work.
        if mode != Mode::Seen || name == ".git" {
            return;
        }
        let class = if self.tracked.entries.contains_key(&path) {
            Class::Tracked
        } else if self.is_ignored(&path, false) {
            self.found.ignored.push(path);
            return;
        } else {
            Class::Untracked
        };
        self.alive(&path);
        if regular || link {
            self.found.items.push(Item { path, class, link, stat });
        } else {
            self.found.special.push((path, kind));
        }
    }

    fn link(&mut self, path: &[u8], target: &[u8]) {
        let dir = self.top.join(OsStr::from_bytes(path));
        let target = Path::new(OsStr::from_bytes(target));
        let joined = dir.parent().unwrap_or(&self.top).join(target);
        // A link that leads nowhere leads where its words say.
        let end = joined.canonicalize().unwrap_or_else(|_| normal(&joined));
        if !end.starts_with(&self.top) {
            self.found.links_out.push(format!("{} -> {}", shown(path), target.display()));
        }
    }

    fn is_ignored(&mut self, path: &[u8], directory: bool) -> bool {
        let Some(repo) = self.repo else { return false };
        let mut asked = path.to_vec();
        if directory {
            asked.push(b'/');
        }
        match repo.is_path_ignored(Path::new(&OsString::from_vec(asked))) {
            Ok(ignored) => ignored,
            Err(e) => {
                self.trouble(path, Mode::Seen, e.message());
                false
            }
        }
    }

    /// The directories above something that is not ignored cannot be said to be ignored as a whole.
    fn alive(&mut self, path: &[u8]) {
        for (at, _) in path.iter().enumerate().rev().filter(|(_, b)| **b == b'/') {
            if !self.found.live.insert(path[..at].to_vec()) {
                break;
            }
        }
        self.found.live.insert(path.to_vec());
    }
}

impl Survey {
    /// What is ignored, where a directory with nothing else in it counts once.
    pub fn ignored_at_most_once(&self) -> Vec<Vec<u8>> {
        let mut all = BTreeSet::new();
        for path in &self.ignored {
            let above = path.iter().enumerate().filter(|(at, b)| **b == b'/' && at + 1 < path.len());
            let whole = above.map(|(at, _)| &path[..at]).find(|dir| !self.live.contains(*dir));
            all.insert(whole.map_or_else(|| path.clone(), |dir| [dir, b"/"].concat()));
        }
        all.into_iter().collect()
    }
}

fn has(dir: &OwnedFd, name: &OsStr, inner: &str) -> bool {
    statat(dir, Path::new(name).join(inner), AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// Names in a directory, in order; none when there are more than `most`.
fn names(fd: &OwnedFd, most: usize) -> std::io::Result<Option<Vec<OsString>>> {
    let mut all = Vec::new();
    for entry in rustix::fs::Dir::read_from(fd)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            if all.len() >= most {
                return Ok(None);
            }
            all.push(OsStr::from_bytes(name).to_owned());
        }
    }
    all.sort_unstable();
    Ok(Some(all))
}

fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

/// A path for people: it may be no text.
pub(crate) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
