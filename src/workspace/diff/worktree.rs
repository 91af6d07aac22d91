//! What `git add` of everything would make of a worktree, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use git2::{Delta, DiffOptions, FileMode, Index, IndexEntry, IndexEntryExtendedFlag, IndexTime, Oid, Repository};

use super::Limits;
use crate::workspace::{WorkspaceError, opening};

/// Bits of an entry's flags that hold its stage.
const STAGE: u16 = 0x3000;

/// A worktree, staged.
pub(super) struct State {
    pub index: Index,
    /// Objects that are in this memory only.
    pub made: Vec<Oid>,
    pub seen: Seen,
}

/// What is to be said of files beside their contents. Paths are bytes, as git has them.
#[derive(Default)]
pub(super) struct Seen {
    /// git does not know them.
    pub untracked: BTreeSet<Vec<u8>>,
    /// A merge left them open.
    pub conflicted: BTreeSet<Vec<u8>>,
    /// Their contents were not read, and why.
    pub unread: BTreeMap<Vec<u8>, String>,
    /// Repositories inside that are no submodules.
    pub nested: Vec<Vec<u8>>,
    /// Files beyond the limit.
    pub beyond: usize,
}

/// Stages everything into memory. Ignored files stay out, as with git.
pub(super) fn read(repo: &Repository, directory: &Path, limits: Limits) -> Result<State, WorkspaceError> {
    let fail = |what| WorkspaceError::git(what, directory);
    let root = repo.workdir().ok_or_else(|| WorkspaceError::Bare { path: directory.to_owned() })?.to_owned();
    let staged = opening::index(repo)?;
    // An index of nobody's: its objects need not be there, and nobody can write it.
    let mut index = Index::new_ext(repo.object_format()).map_err(fail("read the index"))?;
    let mut seen = Seen::default();
    let mut away = BTreeSet::new();
    for entry in staged.iter() {
        if entry.flags & STAGE != 0 {
            seen.conflicted.insert(entry.path.clone());
            continue;
        }
        if entry.flags_extended & IndexEntryExtendedFlag::SKIP_WORKTREE.bits() != 0 {
            away.insert(entry.path.clone());
        }
        index.add(&plain(entry.path, entry.id, entry.mode)).map_err(fail("read the index"))?;
    }
    let trust_modes = repo.config().and_then(|c| c.get_bool("core.filemode")).unwrap_or(true);
    let mut options = DiffOptions::new();
    options.include_untracked(true).recurse_untracked_dirs(true).include_typechange(true).skip_binary_check(true);
    let diff = repo.diff_index_to_workdir(Some(&staged), Some(&mut options)).map_err(fail("compare the files"))?;
    let mut stage = Stage { repo, root, limits, bytes: 0, files: 0, made: Vec::new(), trust_modes };
    for delta in diff.deltas() {
        let file = if delta.status() == Delta::Deleted { delta.old_file() } else { delta.new_file() };
        let Some(path) = file.path_bytes().or_else(|| delta.old_file().path_bytes()).map(<[u8]>::to_vec) else {
            continue;
        };
        match delta.status() {
            Delta::Deleted if away.contains(&path) => {}
            Delta::Deleted => remove(&mut index, &path),
            Delta::Unmodified | Delta::Ignored => {}
            Delta::Untracked if path.ends_with(b"/") => seen.nested.push(path),
            status => {
                if status == Delta::Untracked {
                    seen.untracked.insert(path.clone());
                }
                stage.one(&mut index, &mut seen, &path, file.mode(), file.id());
            }
        }
    }
    // What a merge left open and nobody has in the worktree is deleted there, which the index does not say.
    for path in seen.conflicted.clone() {
        if !stage.place(&path).symlink_metadata().is_ok_and(|m| !m.is_dir()) {
            remove(&mut index, &path);
        } else if index.get_path(Path::new(OsStr::from_bytes(&path)), 0).is_none() {
            stage.one(&mut index, &mut seen, &path, FileMode::Unreadable, Oid::ZERO_SHA1);
        }
    }
    Ok(State { index, made: stage.made, seen })
}

/// Stages another worktree of the same repository, with its objects in the memory of this one.
pub(super) fn read_into(repo: &Repository, directory: &Path, limits: Limits) -> Result<Index, WorkspaceError> {
    let fail = |what| WorkspaceError::git(what, directory);
    let other = super::open(directory)?;
    if other.commondir().canonicalize().ok() != repo.commondir().canonicalize().ok() {
        let message = "it is another repository than the one that it is to be compared with".to_owned();
        return Err(WorkspaceError::Git { what: "compare", path: directory.to_owned(), message });
    }
    let state = read(&other, directory, limits)?;
    for id in state.made {
        let blob = other.find_blob(id).map_err(fail("read a file"))?;
        repo.blob(blob.content()).map_err(fail("read a file"))?;
    }
    Ok(state.index)
}

struct Stage<'a> {
    repo: &'a Repository,
    root: PathBuf,
    limits: Limits,
    bytes: u64,
    files: usize,
    made: Vec<Oid>,
    trust_modes: bool,
}

impl Stage<'_> {
    fn place(&self, path: &[u8]) -> PathBuf {
        self.root.join(OsStr::from_bytes(path))
    }

    /// Stages one file as it lies in the worktree.
    fn one(&mut self, index: &mut Index, seen: &mut Seen, path: &[u8], mode: FileMode, id: Oid) {
        self.files += 1;
        if self.files > self.limits.files {
            seen.beyond += 1;
            return;
        }
        let place = self.place(path);
        let metadata = match place.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return remove(index, path),
            Err(e) => return unread(self.repo, index, seen, path, format!("cannot be read: {e}")),
        };
        if metadata.is_dir() {
            // A submodule: the commit that is checked out there, not what lies in it.
            if mode == FileMode::Commit && !id.is_zero() {
                add(index, seen, plain(path.to_vec(), id, u32::from(FileMode::Commit)));
            }
            return;
        }
        let size = metadata.size();
        if metadata.is_symlink() {
            let blob = std::fs::read_link(&place)
                .map_err(|e| e.to_string())
                .and_then(|target| self.repo.blob(target.as_os_str().as_bytes()).map_err(|e| e.message().to_owned()));
            return match blob {
                Ok(blob) => {
                    self.made.push(blob);
                    add(index, seen, plain(path.to_vec(), blob, u32::from(FileMode::Link)));
                }
                Err(why) => unread(self.repo, index, seen, path, format!("cannot be read: {why}")),
            };
        }
        if !metadata.is_file() {
            return unread(self.repo, index, seen, path, "is no file that git keeps".to_owned());
        }
        if size > self.limits.file_bytes {
            let words = format!("{}, too large to be compared here", wharf_ui::format::size(size));
            return unread(self.repo, index, seen, path, words);
        }
        if self.bytes.saturating_add(size) > self.limits.total_bytes {
            let limit = wharf_ui::format::size(self.limits.total_bytes);
            return unread(self.repo, index, seen, path, format!("beyond {limit} of uncommitted files"));
        }
        self.bytes += size;
        match self.repo.blob_path(&place) {
            Ok(blob) => {
                self.made.push(blob);
                let mode = self.mode(index, path, &metadata);
                add(index, seen, plain(path.to_vec(), blob, mode));
            }
            Err(e) => unread(self.repo, index, seen, path, format!("cannot be read: {}", e.message())),
        }
    }

    /// Whether a file is executable; where the file system cannot tell, as the index has it.
    fn mode(&self, index: &Index, path: &[u8], metadata: &Metadata) -> u32 {
        let executable = if self.trust_modes {
            metadata.permissions().mode() & 0o100 != 0
        } else {
            let known = index.get_path(Path::new(OsStr::from_bytes(path)), 0);
            known.is_some_and(|e| e.mode == u32::from(FileMode::BlobExecutable))
        };
        u32::from(if executable { FileMode::BlobExecutable } else { FileMode::Blob })
    }
}

fn add(index: &mut Index, seen: &mut Seen, entry: IndexEntry) {
    let path = entry.path.clone();
    if let Err(e) = index.add(&entry) {
        seen.unread.insert(path, format!("git does not take it: {}", e.message()));
    }
}

/// Notes a file whose contents stay unread under a name that no object has, so that it is seen to differ.
fn unread(repo: &Repository, index: &mut Index, seen: &mut Seen, path: &[u8], why: String) {
    // Two that were not read are never the same.
    let name = [b"unread ", path, b" ", uuid::Uuid::now_v7().as_bytes().as_slice()].concat();
    if let Ok(id) = Oid::hash_object_ext(git2::ObjectType::Blob, &name, repo.object_format()) {
        add(index, seen, plain(path.to_vec(), id, u32::from(FileMode::Blob)));
    }
    seen.unread.insert(path.to_vec(), why);
}

fn remove(index: &mut Index, path: &[u8]) {
    // What is not there needs no removal.
    let _absent = index.remove(Path::new(OsStr::from_bytes(path)), 0);
}

fn plain(path: Vec<u8>, id: Oid, mode: u32) -> IndexEntry {
    let never = IndexTime::new(0, 0);
    IndexEntry {
        ctime: never,
        mtime: never,
        dev: 0,
        ino: 0,
        mode,
        uid: 0,
        gid: 0,
        file_size: 0,
        id,
        flags: 0,
        flags_extended: 0,
        path,
    }
}
