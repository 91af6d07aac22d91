//! The groups of one shim, from their making to their removal.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wharf_model::shim::{LimitsReport, limit};

use super::files;
use super::mounts::Version;
use super::oom;
use super::place::{Cap, Place, Places, places};

/// Tries to remove a group whose last process has just ended; the kernel lets go a moment later.
const REMOVE_TRIES: u32 = 40;
/// Name of [`Cap::Processors`] in what is asked of [`Groups::at`]: no spec of a shim has it.
pub const PROCESSORS: &str = "processors";
/// Time in which a share of the processors is used up and given anew, microseconds.
const PERIOD_US: u64 = 100_000;
/// Time between two.
const REMOVE_PAUSE: Duration = Duration::from_millis(2);

/// The groups of one shim; none where no limits were asked.
#[derive(Debug, Default)]
pub struct Groups {
    places: Vec<(Place, PathBuf)>,
    made: Vec<Group>,
    report: LimitsReport,
    swap_is_free: bool,
    /// Groups of this name that exist already are the same ones.
    may_exist: bool,
}

#[derive(Debug)]
struct Group {
    version: Version,
    dir: PathBuf,
    home: PathBuf,
    caps: Vec<Cap>,
}

impl Cap {
    /// Its name in specs and reports.
    const fn limit(self) -> &'static str {
        match self {
            Self::Processes => limit::PROCESSES,
            Self::Memory => limit::MEMORY,
            Self::Processors => PROCESSORS,
        }
    }
}

impl Groups {
    /// Plans groups of this name for the limits of a spec. Nothing is made.
    pub fn plan(name: &str, limits: &BTreeMap<String, u64>) -> Self {
        let caps: Vec<Cap> = Cap::ALL.into_iter().filter(|cap| limits.contains_key(cap.limit())).collect();
        if caps.is_empty() {
            return Self::default();
        }
        Self::at(name, limits, places(None, &caps))
    }

    /// [`Groups::plan`] at places that were found already.
    pub fn at(name: &str, limits: &BTreeMap<String, u64>, found: Places) -> Self {
        let mut groups =
            Self { report: LimitsReport { asked: limits.clone(), ..LimitsReport::default() }, ..Self::default() };
        for (cap, why) in found.refused {
            groups.refuse(cap, why);
        }
        for place in found.places {
            let dir = place.parent.join(name);
            if dir.to_str().is_some() {
                groups.places.push((place, dir));
            } else {
                for cap in place.caps {
                    groups.refuse(cap, format!("the control group {} has no name in UTF-8", place.parent.display()));
                }
            }
        }
        groups
    }

    /// The same, but groups of this name that exist already are taken as these, and get their caps.
    pub fn kept(mut self) -> Self {
        self.may_exist = true;
        self
    }

    /// Directories that will be made or have been.
    pub fn paths(&self) -> Vec<String> {
        self.places.iter().filter_map(|(_, dir)| dir.to_str().map(str::to_owned)).collect()
    }

    /// Whether any exists.
    pub fn is_empty(&self) -> bool {
        self.made.is_empty()
    }

    /// How the limits are kept, or were until the end; `None` when none were asked.
    pub fn report(&self) -> Option<LimitsReport> {
        (!self.report.asked.is_empty()).then(|| LimitsReport { by: self.by(), ..self.report.clone() })
    }

    /// What keeps them, once the groups are made; what kept them, once they are gone.
    fn by(&self) -> Option<String> {
        let mut kinds: Vec<Version> = self.made.iter().filter(|g| !g.caps.is_empty()).map(|g| g.version).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let swap = if self.swap_is_free { ", swap not counted" } else { "" };
        match kinds.as_slice() {
            [] => self.report.by.clone(),
            [one] => Some(format!("{}{swap}", one.words())),
            _ => Some(format!("cgroup v1 and v2{swap}")),
        }
    }

    /// Makes the groups, with their caps set. What cannot be made or set is in the report.
    pub fn make(&mut self) {
        for (place, dir) in self.places.clone() {
            let mut group = Group { version: place.version, dir, home: place.home, caps: place.caps };
            if group.version == Version::V2 {
                group.caps.retain(|cap| match enable(&place.parent, *cap) {
                    Ok(()) => true,
                    Err(why) => {
                        refuse(&mut self.report, *cap, why);
                        false
                    }
                });
            }
            // Without an id of the run nobody else may look into it; reading is everyone's, as in the group above.
            if let Err(error) = std::fs::DirBuilder::new().mode(0o755).create(&group.dir)
                && !(self.may_exist && error.kind() == io::ErrorKind::AlreadyExists)
            {
                for cap in group.caps {
                    self.refuse(cap, format!("no control group can be made in {}: {error}", place.parent.display()));
                }
                continue;
            }
            group.caps.retain(|cap| {
                let value = self.report.asked.get(cap.limit()).copied().unwrap_or(u64::MAX);
                match set(&group.dir, group.version, *cap, value) {
                    Ok(is_whole) => {
                        self.swap_is_free |= !is_whole;
                        true
                    }
                    Err(error) => {
                        refuse(&mut self.report, *cap, format!("the kernel refused {value}: {error}"));
                        false
                    }
                }
            });
            if group.version == Version::V1 && group.caps.is_empty() {
                // It would hold nothing; one that stays for a reason of the kernel's is found again by name.
                let _ = files::remove(&group.dir);
            } else {
                self.made.push(group);
            }
        }
    }

    /// Puts a process, which has not run yet, into all of them.
    pub fn enter(&mut self, pid: i32) {
        for group in std::mem::take(&mut self.made) {
            match files::write(&group.dir, "cgroup.procs", &pid.to_string()) {
                Ok(()) => self.made.push(group),
                Err(error) => {
                    for cap in &group.caps {
                        self.refuse(*cap, format!("the kernel kept the child out of {}: {error}", group.dir.display()));
                    }
                    let _ = files::remove(&group.dir);
                }
            }
        }
    }

    /// Numbers of all processes in them, in no order; one may be there twice.
    ///
    /// # Errors
    /// What the kernel says: who is in them is then unknown.
    pub fn processes(&self) -> io::Result<Vec<i32>> {
        let mut pids = Vec::new();
        for group in &self.made {
            pids.extend(files::processes(&group.dir)?);
        }
        Ok(pids)
    }

    /// Kills everyone in them at one word, also who is being forked just now; where the kernel knows
    /// no such word, nobody.
    pub fn kill(&self) {
        for group in self.made.iter().filter(|g| g.version == Version::V2) {
            // Before Linux 5.14 there is no such file; each process is then killed by its number.
            let _ = files::write(&group.dir, "cgroup.kill", "1");
        }
    }

    /// How many of their processes the kernel killed for want of memory; `None` when no group counts it.
    pub fn oom_kills(&self) -> Option<u64> {
        let counts = self.made.iter().filter_map(|group| match group.version {
            Version::V1 => {
                let all = files::with_inner(&group.dir);
                let known: Vec<u64> = all.iter().filter_map(|dir| oom::kills(dir, Version::V1)).collect();
                (!known.is_empty()).then(|| known.iter().sum())
            }
            Version::V2 => oom::kills(&group.dir, Version::V2),
        });
        counts.max()
    }

    /// Lets processes that may outlive the run go where the shim is: they are capped no longer.
    pub fn let_out(&self, pids: &[i32]) {
        for group in &self.made {
            for pid in files::processes(&group.dir).unwrap_or_default().iter().filter(|pid| pids.contains(pid)) {
                // It may have ended; a group that cannot be removed is found again.
                let _ = files::write(&group.home, "cgroup.procs", &pid.to_string());
            }
        }
    }

    /// Counts what the kernel killed and removes the groups; blocks for a moment at most. One that
    /// still holds a process stays and is found again by its name.
    pub fn remove(&mut self) {
        self.report.oom_kills = self.oom_kills().unwrap_or(0);
        self.report.by = self.by();
        for group in self.made.drain(..) {
            remove_soon(&group.dir);
        }
    }

    fn refuse(&mut self, cap: Cap, why: String) {
        refuse(&mut self.report, cap, why);
    }
}

fn refuse(report: &mut LimitsReport, cap: Cap, why: String) {
    report.unenforced.entry(cap.limit().to_owned()).or_insert(why);
}

/// Removes a group whose processes have ended, or are about to be seen to have; says whether it is gone.
pub(super) fn remove_soon(dir: &Path) -> bool {
    for _ in 0..REMOVE_TRIES {
        match files::remove(dir) {
            Ok(()) => return true,
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => std::thread::sleep(REMOVE_PAUSE),
            Err(_) => return false,
        }
    }
    false
}

/// Has a group of the second kind give a controller to those below it.
fn enable(parent: &Path, cap: Cap) -> Result<(), String> {
    let name = cap.controller();
    let gives = files::read(parent, "cgroup.subtree_control").unwrap_or_default();
    if gives.split_ascii_whitespace().any(|word| word == name) {
        return Ok(());
    }
    files::write(parent, "cgroup.subtree_control", &format!("+{name}")).map_err(|error| {
        if error.raw_os_error() == Some(libc::EBUSY) {
            format!("control group {} holds processes itself, so it gives {name} to no group below", parent.display())
        } else {
            format!("control group {} does not give {name} to groups below: {error}", parent.display())
        }
    })
}

/// Sets a cap; says whether it holds with swap counted.
fn set(dir: &Path, version: Version, cap: Cap, value: u64) -> io::Result<bool> {
    let text = value.to_string();
    match (cap, version) {
        (Cap::Processes, _) => files::write(dir, "pids.max", &text).map(|()| true),
        (Cap::Processors, Version::V1) => {
            files::write(dir, "cpu.cfs_period_us", &PERIOD_US.to_string())?;
            files::write(dir, "cpu.cfs_quota_us", &quota_us(value).to_string()).map(|()| true)
        }
        (Cap::Processors, Version::V2) => {
            files::write(dir, "cpu.max", &format!("{} {PERIOD_US}", quota_us(value))).map(|()| true)
        }
        (Cap::Memory, Version::V1) => {
            files::write(dir, "memory.limit_in_bytes", &text)?;
            Ok(files::write(dir, "memory.memsw.limit_in_bytes", &text).is_ok() || !has_swap())
        }
        (Cap::Memory, Version::V2) => {
            files::write(dir, "memory.max", &text)?;
            Ok(files::write(dir, "memory.swap.max", "0").is_ok() || !has_swap())
        }
    }
}

/// Time of a period for so many thousandths of a processor; the kernel takes no less than a millisecond.
fn quota_us(thousandths: u64) -> u64 {
    thousandths.saturating_mul(PERIOD_US / 1_000).max(1_000)
}

/// Whether this machine swaps at all; when nobody says, it may.
fn has_swap() -> bool {
    std::fs::read_to_string("/proc/swaps").map_or(true, |text| text.lines().count() > 1)
}
