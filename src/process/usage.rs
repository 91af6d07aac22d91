//! What a process tree takes of the machine: processor, memory, processes, time.
//!
//! One look at `/proc` serves every tree that is asked about ([`Processes::look`]); a tree is found by the
//! directory of its shim ([`Processes::sample`]). Two samples give a rate: [`between`] is pure.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use wharf_model::shim::{IdFile, ProcessRef};

use super::shim_dir::names;
use super::stat::{self, ProcStat};
use super::{descendants, identity};

mod tree;

/// Most bytes of a file of the kernel's, or of an `id.json`, that are read.
const READ_MAX_BYTES: u64 = 64 << 10;
/// Processes of one tree whose shared memory is counted by halves; of larger ones, each counts it whole.
const FAIR_MAX_PROCESSES: usize = 64;

/// Every process that this user may see, at one moment.
#[derive(Debug)]
pub struct Processes {
    children: HashMap<i32, Vec<ProcStat>>,
    shims: HashMap<i32, ProcessRef>,
    at_ms: u64,
    boot_id: String,
}

/// What one tree has taken up to a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The moment: milliseconds since the machine was started, sleep included.
    pub at_ms: u64,
    /// The tree's keeper: samples of different ones are not compared.
    pub shim: ProcessRef,
    /// Processor time of the tree, milliseconds, with that of its processes that have ended.
    pub cpu_ms: u64,
    /// Memory of its living processes, bytes.
    pub memory_bytes: u64,
    /// Memory that processes share is divided among them (PSS); else each counts the whole (RSS).
    pub is_fair: bool,
    /// Living processes, without the shim.
    pub processes: u32,
    /// Time since its first process was started, milliseconds; none when that has ended already.
    pub uptime_ms: Option<u64>,
}

/// What a tree takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Thousandths of one core since the sample before; 1500 is one core and a half. None without one.
    pub cpu_permille: Option<u32>,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// See [`Sample::is_fair`].
    pub is_fair: bool,
    /// Living processes.
    pub processes: u32,
    /// Time since its first process was started, milliseconds.
    pub uptime_ms: Option<u64>,
}

/// What a tree takes now, and how much processor since `before`. A sample of another tree, or one that is
/// no older, gives no rate. A tree whose ended processes were counted nowhere (one with a foreign reaper
/// between) shows less than it took, never less than nothing.
pub fn between(before: Option<&Sample>, now: &Sample) -> Usage {
    let rate = |before: &Sample| {
        let passed = now.at_ms.checked_sub(before.at_ms).filter(|ms| *ms > 0 && before.shim == now.shim)?;
        let taken = now.cpu_ms.saturating_sub(before.cpu_ms);
        Some(u32::try_from(taken.saturating_mul(1000) / passed).unwrap_or(u32::MAX))
    };
    Usage {
        cpu_permille: before.and_then(rate),
        memory_bytes: now.memory_bytes,
        is_fair: now.is_fair,
        processes: now.processes,
        uptime_ms: now.uptime_ms,
    }
}

impl Processes {
    /// Looks at all processes. Those that this user may not see (`hidepid`) are left out.
    ///
    /// # Errors
    /// What the kernel says when `/proc` cannot be read.
    pub fn look() -> io::Result<Self> {
        let mut children: HashMap<i32, Vec<ProcStat>> = HashMap::new();
        let mut shims = HashMap::new();
        for process in descendants::all()? {
            shims.insert(process.id.pid, process.id);
            children.entry(process.ppid).or_default().push(process);
        }
        let at_ms = u64::try_from(crate::clock::read().boot).unwrap_or(0);
        Ok(Self { children, shims, at_ms, boot_id: identity::boot_id()? })
    }

    /// The tree that the shim of a directory keeps; none when no shim keeps it any more, or when it may
    /// not be seen. Reads two files for each process.
    pub fn sample(&self, dir: &Path) -> Option<Sample> {
        let id: IdFile = serde_json::from_slice(&read_some(&dir.join(names::ID))?).ok()?;
        if id.boot_id != self.boot_id || self.shims.get(&id.shim.pid) != Some(&id.shim) {
            return None;
        }
        let tree = self.below(id.shim.pid);
        // What has ended was waited for by whoever was its parent, at last by the shim.
        let ended = times(id.shim)?.ended;
        let mut sample = Sample {
            at_ms: self.at_ms,
            shim: id.shim,
            cpu_ms: ended,
            memory_bytes: 0,
            is_fair: tree.len() <= FAIR_MAX_PROCESSES,
            processes: 0,
            uptime_ms: None,
        };
        let first = id.child.map(|c| ProcessRef { pid: c.pid, start_ticks: c.start_ticks });
        let living: Vec<Member> = tree.iter().filter(|p| p.is_alive()).filter_map(|p| member(p.id)).collect();
        sample.is_fair = sample.is_fair && living.iter().all(|m| m.fair_bytes.is_some());
        for it in living {
            sample.cpu_ms += it.times.own + it.times.ended;
            sample.memory_bytes += if sample.is_fair { it.fair_bytes.unwrap_or(0) } else { it.resident_bytes };
            sample.processes += 1;
            if Some(it.id) == first {
                let started_ms = it.id.start_ticks.saturating_mul(1000) / ticks_per_second();
                sample.uptime_ms = Some(self.at_ms.saturating_sub(started_ms));
            }
        }
        Some(sample)
    }

    fn below(&self, pid: i32) -> Vec<&ProcStat> {
        let mut found: Vec<&ProcStat> = self.children.get(&pid).into_iter().flatten().collect();
        let mut seen = BTreeSet::from([pid]);
        let mut next = 0;
        while let Some(process) = found.get(next) {
            // Numbers reused during the look could make a cycle.
            if seen.insert(process.id.pid) {
                found.extend(self.children.get(&process.id.pid).into_iter().flatten());
            }
            next += 1;
        }
        found
    }
}

/// How long a process has been there by its start time, milliseconds, sleep included.
pub fn age_ms(process: ProcessRef) -> u64 {
    let now = u64::try_from(crate::clock::read().boot).unwrap_or(0);
    now.saturating_sub(process.start_ticks.saturating_mul(1000) / ticks_per_second())
}

struct Member {
    id: ProcessRef,
    times: Times,
    resident_bytes: u64,
    fair_bytes: Option<u64>,
}

/// Processor times of one process, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    own: u64,
    /// Of children that it has waited for.
    ended: u64,
}

fn member(id: ProcessRef) -> Option<Member> {
    let line = read_some(Path::new(&format!("/proc/{}/stat", id.pid)))?;
    // The number may be another's by now.
    stat::parse(&line).filter(|p| p.id == id)?;
    let (times, pages) = figures(&line)?;
    let fair = read_some(Path::new(&format!("/proc/{}/smaps_rollup", id.pid)));
    Some(Member {
        id,
        times,
        resident_bytes: pages.saturating_mul(page_bytes()),
        fair_bytes: fair.as_deref().and_then(pss),
    })
}

fn times(id: ProcessRef) -> Option<Times> {
    let line = read_some(Path::new(&format!("/proc/{}/stat", id.pid)))?;
    stat::parse(&line).filter(|p| p.id == id)?;
    figures(&line).map(|(times, _)| times)
}

/// Processor times and resident pages of a stat line.
fn figures(line: &[u8]) -> Option<(Times, u64)> {
    let close = line.iter().rposition(|&b| b == b')')?;
    let fields: Vec<&str> = std::str::from_utf8(line.get(close + 1..)?).ok()?.split_ascii_whitespace().collect();
    // The state is field 3 of the line, and the first here.
    let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok().map(|n| u64::try_from(n).unwrap_or(0));
    let ms = |ticks: u64| ticks.saturating_mul(1000) / ticks_per_second();
    let times = Times { own: ms(number(14)? + number(15)?), ended: ms(number(16)? + number(17)?) };
    Some((times, number(24)?))
}

/// `Pss:` of a `smaps_rollup`, in bytes.
fn pss(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("Pss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn read_some(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(READ_MAX_BYTES).read_to_end(&mut bytes).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}

fn ticks_per_second() -> u64 {
    static KNOWN: OnceLock<u64> = OnceLock::new();
    *KNOWN.get_or_init(|| system(libc::_SC_CLK_TCK).unwrap_or(100))
}

fn page_bytes() -> u64 {
    static KNOWN: OnceLock<u64> = OnceLock::new();
    *KNOWN.get_or_init(|| system(libc::_SC_PAGESIZE).unwrap_or(4096))
}

#[expect(unsafe_code, reason = "no safe wrapper is at hand for what the C library knows of the system")]
fn system(what: libc::c_int) -> Option<u64> {
    // SAFETY: takes a constant and touches no memory of ours.
    let number = unsafe { libc::sysconf(what) };
    u64::try_from(number).ok().filter(|n| *n > 0)
}

#[cfg(test)]
mod tests;
