//! Writing objects: bytes as they are, durable before anything names them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use git2::{ObjectFormat, ObjectType, Odb, OdbLookupFlags, Oid, Repository};
use wharf_model::UnixMillis;

use crate::workspace::keep_error::KeepError;

/// A file up to this size is read as a whole.
const WHOLE_MAX: u64 = 8 << 20;
/// With more new objects than this the file system is asked to write everything that it holds back.
const ONE_BY_ONE_MAX: usize = 64;
/// Times that a file which changes while it is read is read again.
const READS_MAX: usize = 4;

/// One entry of a tree: its path below the root, its mode, its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub path: Vec<u8>,
    pub mode: u32,
    pub id: Oid,
}

/// Writes into the object store of one repository and remembers what is new.
pub(crate) struct Writer<'r> {
    odb: Odb<'r>,
    objects: PathBuf,
    at: PathBuf,
    format: ObjectFormat,
    new: BTreeSet<Oid>,
    /// Bytes that were written.
    pub bytes: u64,
}

impl<'r> Writer<'r> {
    pub fn new(repo: &'r Repository) -> Result<Self, KeepError> {
        let at = repo.commondir().to_owned();
        let odb = repo.odb().map_err(KeepError::git("open the objects", &at))?;
        let format = repo.object_format();
        Ok(Self { odb, objects: at.join("objects"), at, format, new: BTreeSet::new(), bytes: 0 })
    }

    pub fn has(&self, id: Oid) -> bool {
        self.odb.exists_ext(id, OdbLookupFlags::NO_REFRESH)
    }

    pub fn put(&mut self, kind: ObjectType, data: &[u8]) -> Result<Oid, KeepError> {
        let fail = KeepError::git("write an object", &self.at);
        let id = Oid::hash_object_ext(kind, data, self.format).map_err(&fail)?;
        let known = self.has(id);
        // Also when it is there: git then takes it for new and does not clean it up meanwhile.
        let written = self.odb.write(kind, data).map_err(&fail)?;
        if !known {
            self.new.insert(written);
            self.bytes += data.len() as u64;
        }
        Ok(written)
    }

    /// The bytes of an open file as a blob, no filter asked. A file that grows meanwhile is kept up to where it was
    /// when it was opened.
    pub fn put_file(
        &mut self,
        path: &Path,
        mut open: impl FnMut() -> io::Result<File>,
    ) -> Result<(Oid, u64), KeepError> {
        let fail = KeepError::io("read", path);
        for _ in 0..READS_MAX {
            let mut file = open().map_err(&fail)?;
            let size = file.metadata().map_err(&fail)?.len();
            if size <= WHOLE_MAX {
                let mut data = Vec::with_capacity(size as usize);
                file.take(WHOLE_MAX * 2).read_to_end(&mut data).map_err(&fail)?;
                if data.len() as u64 <= WHOLE_MAX {
                    return Ok((self.put(ObjectType::Blob, &data)?, data.len() as u64));
                }
            } else if let Some(id) = self.stream(&mut file, size, path)? {
                return Ok((id, size));
            }
        }
        Err(KeepError::Changed { path: path.to_owned(), why: "it changes faster than it can be read".to_owned() })
    }

    /// None when the file became shorter meanwhile.
    fn stream(&mut self, file: &mut File, size: u64, path: &Path) -> Result<Option<Oid>, KeepError> {
        let fail = KeepError::git("write an object", &self.at);
        let length =
            usize::try_from(size).map_err(|e| KeepError::TooLarge { path: path.to_owned(), why: e.to_string() })?;
        let mut writer = self.odb.writer(length, ObjectType::Blob).map_err(&fail)?;
        let mut buffer = vec![0; 1 << 20];
        let mut left = size;
        while left > 0 {
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match file.read(&mut buffer[..most]) {
                Ok(0) => return Ok(None),
                Ok(n) => {
                    writer.write_all(&buffer[..n]).map_err(KeepError::io("write an object for", path))?;
                    left -= n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(KeepError::io("read", path)(e)),
            }
        }
        let id = writer.finalize().map_err(&fail)?;
        drop(writer);
        self.new.insert(id);
        self.bytes += size;
        Ok(Some(id))
    }

    /// Trees of leaves that are sorted by their paths; no path may be below another.
    pub fn tree(&mut self, leaves: &[Leaf]) -> Result<Oid, KeepError> {
        self.level(leaves, 0)
    }

    fn level(&mut self, leaves: &[Leaf], from: usize) -> Result<Oid, KeepError> {
        let mut data = Vec::new();
        let mut at = 0;
        while let Some(leaf) = leaves.get(at) {
            let rest = &leaf.path[from..];
            let (name, mode, id, next) = match rest.iter().position(|b| *b == b'/') {
                None => (rest, leaf.mode, leaf.id, at + 1),
                Some(end) => {
                    let prefix = &leaf.path[..=from + end];
                    let count = leaves[at..].iter().take_while(|l| l.path.starts_with(prefix)).count();
                    let id = self.level(&leaves[at..at + count], from + end + 1)?;
                    (&rest[..end], 0o40_000, id, at + count)
                }
            };
            data.extend_from_slice(format!("{mode:o} ").as_bytes());
            data.extend_from_slice(name);
            data.push(0);
            data.extend_from_slice(id.as_bytes());
            at = next;
        }
        self.put(ObjectType::Tree, &data)
    }

    /// A commit of ours. The same content gives the same commit.
    pub fn commit(&mut self, tree: Oid, parents: &[Oid], at: UnixMillis, message: &str) -> Result<Oid, KeepError> {
        let mut text = format!("tree {tree}\n");
        for parent in parents {
            text.push_str(&format!("parent {parent}\n"));
        }
        let who = format!("wharf <wharf@localhost> {} +0000", at.0.max(0) / 1000);
        text.push_str(&format!("author {who}\ncommitter {who}\n\n{message}"));
        self.put(ObjectType::Commit, text.as_bytes())
    }

    /// Waits until everything new is on the disk.
    pub fn sync(&mut self) -> Result<(), KeepError> {
        if self.new.len() > ONE_BY_ONE_MAX {
            let dir = File::open(&self.at).map_err(KeepError::io("open", &self.at))?;
            rustix::fs::syncfs(&dir).map_err(|e| KeepError::io("sync", &self.at)(e.into()))?;
        } else {
            let mut dirs = BTreeSet::new();
            for id in &self.new {
                let name = id.to_string();
                let file = self.objects.join(&name[..2]).join(&name[2..]);
                match File::open(&file) {
                    Ok(open) => open.sync_all().map_err(KeepError::io("sync", &file))?,
                    // git packed it meanwhile, and syncs what it packs.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                    Err(e) => return Err(KeepError::io("open", &file)(e)),
                }
                dirs.insert(self.objects.join(&name[..2]));
            }
            dirs.insert(self.objects.clone());
            for dir in dirs {
                sync_dir(&dir)?;
            }
        }
        self.new.clear();
        Ok(())
    }

    /// Makes a ref that is not there yet, durably.
    pub fn make_ref(&self, repo: &Repository, name: &str, id: Oid) -> Result<(), KeepError> {
        self.put_ref(repo, name, id, false)
    }

    /// Makes a ref durably, in the place of one that may be there.
    pub fn replace_ref(&self, repo: &Repository, name: &str, id: Oid) -> Result<(), KeepError> {
        self.put_ref(repo, name, id, true)
    }

    fn put_ref(&self, repo: &Repository, name: &str, id: Oid, replace: bool) -> Result<(), KeepError> {
        repo.reference(name, id, replace, "wharf").map_err(KeepError::git("write a ref", &self.at))?;
        let file = self.at.join(name);
        if let Ok(open) = File::open(&file) {
            open.sync_all().map_err(KeepError::io("sync", &file))?;
        }
        let mut dir = file.parent();
        while let Some(at) = dir.filter(|at| at.starts_with(&self.at)) {
            sync_dir(at)?;
            dir = at.parent();
        }
        Ok(())
    }
}

/// Waits until the names in a directory are on the disk.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), KeepError> {
    File::open(dir).and_then(|open| open.sync_all()).map_err(KeepError::io("sync", dir))
}
