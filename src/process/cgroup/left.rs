//! Groups whose shim is gone.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use wharf_model::shim::IdFile;

use super::group::remove_soon;
use super::place::{Cap, places};
use super::{LEASE, files, parse_name};
use crate::clock;
use crate::process::stat::{self, ProcStat};
use crate::process::{identity, shim_dir};

/// Kinds of file system on which control groups are.
const MAGIC: [u64; 2] = [0x0027_e0eb, 0x6367_7270];
/// Age from which an empty group is nobody's: a shim puts its child into a new one at once.
const YOUNG_MS: i64 = 60_000;

/// Groups of one shim that is gone, checked to be its own.
#[derive(Debug, Default)]
pub struct Named {
    dirs: Vec<PathBuf>,
}

/// The groups among these paths that really are control groups and carry exactly this name. A file
/// that anyone may have written never leads anywhere else.
pub fn sweep_named(paths: &[String], name: &str) -> Named {
    let is_it = |dir: &&Path| dir.file_name().is_some_and(|n| n == name) && parse_name(name).is_some() && is_group(dir);
    Named { dirs: paths.iter().map(Path::new).filter(is_it).map(Path::to_owned).collect() }
}

/// [`sweep_named`] for groups that belong to a lease.
pub fn of_lease(paths: &[String], name: &str) -> Named {
    let is_it = |dir: &&Path| dir.file_name().is_some_and(|n| n == name) && name.starts_with(LEASE) && is_group(dir);
    Named { dirs: paths.iter().map(Path::new).filter(is_it).map(Path::to_owned).collect() }
}

impl Named {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.dirs.is_empty()
    }

    /// Living processes in them.
    ///
    /// # Errors
    /// What the kernel says: who is in them is then unknown.
    pub fn living(&self) -> io::Result<Vec<ProcStat>> {
        let mut living: Vec<ProcStat> = Vec::new();
        for dir in &self.dirs {
            living.extend(members(&files::processes(dir)?)?);
        }
        living.sort_unstable_by_key(|p| p.id.pid);
        living.dedup_by_key(|p| p.id.pid);
        Ok(living)
    }

    /// Removes those that are empty; names those that stay.
    pub fn remove(&self) -> Vec<String> {
        self.dirs.iter().filter(|dir| !remove_soon(dir)).map(|dir| dir.display().to_string()).collect()
    }
}

/// The control groups of a directory's shim: those it wrote down, if this is the boot it wrote in. Where
/// nothing can be read any more, those of its name where this process would make some.
pub fn of_directory(path: &Path, dir: &str) -> Named {
    let Some((kind, id, n)) = shim_dir::named(dir) else { return Named::default() };
    let name = super::name(kind, &id, n);
    let written = std::fs::read(path.join(shim_dir::names::ID)).ok();
    let paths = match written.and_then(|text| serde_json::from_slice::<IdFile>(&text).ok()) {
        Some(id) if identity::boot_id().is_ok_and(|boot| boot == id.boot_id) => id.cgroups,
        Some(_) => Vec::new(),
        None if path.exists() => Vec::new(),
        None => {
            let places = places(None, &Cap::ALL).places;
            places.iter().filter_map(|p| p.parent.join(&name).to_str().map(str::to_owned)).collect()
        }
    };
    sweep_named(&paths, &name)
}

/// The living among processes by number.
///
/// # Errors
/// What the kernel says when one cannot be looked at.
pub(crate) fn members(pids: &[i32]) -> io::Result<Vec<ProcStat>> {
    let mut living = Vec::new();
    for pid in pids {
        living.extend(stat::read(*pid)?.filter(ProcStat::is_alive));
    }
    Ok(living)
}

/// A group of ours by its name for which nobody seems to care any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its directory.
    pub dir: PathBuf,
    /// Living processes in it; `None` when they cannot be told.
    pub processes: Option<usize>,
}

/// Groups with a name of ours where this process, or the one named, makes groups, whose shim does not
/// keep them: it has no entry in `live`. Young ones are left out, since that of another data
/// directory may only just have been made.
pub fn leftovers(pid: Option<i32>, live: &Path) -> Vec<Leftover> {
    let mut parents: Vec<PathBuf> = Vec::new();
    for pid in [None, pid] {
        parents.extend(places(pid, &Cap::ALL).places.into_iter().map(|p| p.parent));
    }
    parents.sort_unstable();
    parents.dedup();
    let mut found = Vec::new();
    for entry in parents.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten() {
        let name = entry.file_name();
        let Some(linked) = name.to_str().filter(|n| parse_name(n).is_some()).and_then(|n| n.strip_prefix("wharf-"))
        else {
            continue;
        };
        let made_ms = entry.metadata().map(|meta| meta.mtime().saturating_mul(1_000));
        let old = made_ms.is_ok_and(|made| clock::now().0.saturating_sub(made) >= YOUNG_MS);
        let dir = entry.path();
        if old && !live.join(linked).is_symlink() && is_group(&dir) {
            let processes = files::processes(&dir).and_then(|pids| members(&pids)).ok().map(|p| p.len());
            found.push(Leftover { dir, processes });
        }
    }
    found
}

/// Removes the empty ones among [`leftovers`] and names them. The kernel keeps one that is not empty.
pub fn remove_leftovers(pid: Option<i32>, live: &Path) -> Vec<String> {
    let empty = leftovers(pid, live).into_iter().filter(|left| left.processes == Some(0));
    empty.filter(|left| files::remove(&left.dir).is_ok()).map(|left| left.dir.display().to_string()).collect()
}

fn is_group(dir: &Path) -> bool {
    fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir())
        && rustix::fs::statfs(dir).is_ok_and(|fs| u64::try_from(fs.f_type).is_ok_and(|kind| MAGIC.contains(&kind)))
}

#[cfg(test)]
mod tests {
    use super::super::name;
    use super::*;

    #[test]
    fn what_is_no_control_group_or_has_another_name_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let name = name("run", "0197c2a4-0000-7000-8000-000000000001", 1);
        let dir = root.path().join(&name);
        fs::create_dir(&dir).unwrap();
        let path = |p: &Path| p.to_str().unwrap().to_owned();
        let (cgroup, link) = (path(Path::new("/sys/fs/cgroup")), root.path().join("link"));
        std::os::unix::fs::symlink(&dir, &link).unwrap();
        for paths in [vec![path(&dir)], vec![cgroup], vec![path(&link)], vec!["/".to_owned(), String::new()]] {
            let named = sweep_named(&paths, &name);
            assert!(named.dirs.is_empty(), "{paths:?}");
            assert_eq!(named.remove(), Vec::<String>::new());
        }
        assert!(dir.exists());
    }
}
