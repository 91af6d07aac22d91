//! Whether the kernel killed for want of memory, and where.

use std::path::{Path, PathBuf};

use super::files;
use super::mounts::{self, Version};
use super::place::Texts;

/// How often the kernel has killed a process of this group, or (second kind) of one within, for want
/// of memory, whoever's memory it was; `None` when the group does not count it.
pub(super) fn kills(dir: &Path, version: Version) -> Option<u64> {
    match version {
        Version::V1 => files::count(dir, "memory.oom_control", "oom_kill"),
        Version::V2 => files::count(dir, "memory.events", "oom_kill"),
    }
}

/// [`kills`] of this group alone.
fn own_kills(dir: &Path, version: Version) -> Option<u64> {
    match version {
        Version::V1 => kills(dir, version),
        // Runs with limits have groups below the same one; what they cost is theirs.
        Version::V2 => files::count(dir, "memory.events.local", "oom_kill").or_else(|| kills(dir, version)),
    }
}

/// The group that counts for a process without limits: its own, or the nearest above that counts.
#[derive(Debug)]
pub struct Enclosing {
    group: Option<(PathBuf, Version)>,
    kills: u64,
    machine: u64,
}

/// What became of the counts since they were first read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Nobody near was killed for want of memory.
    Nobody,
    /// Somebody in the same group was.
    Near,
    /// Somebody on this machine was; no group says who.
    Somebody,
}

impl Enclosing {
    /// Reads the counts of this process' surroundings for the first time.
    pub fn now() -> Self {
        let group = Texts::of(None).ok().and_then(|texts| counting(&texts));
        let kills = group.as_ref().and_then(|(dir, version)| own_kills(dir, *version)).unwrap_or(0);
        Self { group, kills, machine: machine_kills() }
    }

    /// Reads them again.
    pub fn since(&self) -> Since {
        if machine_kills() <= self.machine {
            return Since::Nobody;
        }
        match self.group.as_ref().and_then(|(dir, version)| own_kills(dir, *version)) {
            Some(kills) if kills > self.kills => Since::Near,
            Some(_) => Since::Nobody,
            None => Since::Somebody,
        }
    }
}

fn counting(texts: &Texts) -> Option<(PathBuf, Version)> {
    if let Some(found) = mounts::find(&texts.mounts, &texts.memberships, Some("memory")) {
        return kills(&found.dir, Version::V1).is_some().then_some((found.dir, Version::V1));
    }
    let found = mounts::find(&texts.mounts, &texts.memberships, None)?;
    // Where a group has no count of its own, its memory is that of the nearest above that has one.
    let above = found.dir.ancestors().take_while(|dir| dir.starts_with(&found.top));
    above.map(Path::to_owned).find(|dir| kills(dir, Version::V2).is_some()).map(|dir| (dir, Version::V2))
}

/// How often the kernel has killed for want of memory, on this machine; 0 when it does not say.
fn machine_kills() -> u64 {
    files::count(Path::new("/proc"), "vmstat", "oom_kill").unwrap_or(0)
}
