//! The stop rule for processes whose keeper is gone: ask, wait, kill, until none is left.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use super::cgroup::Named;
use super::descendants;
use super::kin::Kin;
use super::signal::{self, Signal};
use super::stat::ProcStat;
use wharf_model::shim::{ChildRef, ProcessRef};

/// Time in which processes must be gone once SIGKILL was sent; one that is stuck in the kernel
/// is then reported as a survivor.
pub const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Processes that are told by name.
const NAMED: usize = 8;

/// Longest command name that the kernel keeps, in bytes.
const COMM_MAX: usize = 15;

/// Whether a process may stay by its command name; names are compared as the kernel cuts them.
pub fn is_kept(process: &ProcStat, keep: &[String]) -> bool {
    keep.iter().any(|name| name.as_bytes().get(..COMM_MAX).unwrap_or(name.as_bytes()) == process.comm.as_bytes())
}

/// What a stop of processes without a keeper needed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terminated {
    /// Processes that were asked to end.
    pub asked: u32,
    /// Whether control groups were looked through beside the tag.
    pub by_group: bool,
    /// Those of them that carry no tag, are in no group, and were known as kin of the child.
    pub untagged: u32,
    /// Processes that needed SIGKILL.
    pub killed: u32,
    /// The first few of those asked, by name and number.
    pub found: Vec<String>,
    /// Command names of those that live on: kept by name, or not to be ended within
    /// [`KILL_LIMIT`].
    pub survivors: Vec<String>,
    /// The first few that live and may belong to the child, by name and number: nothing proves it, so
    /// they were left alone.
    pub suspects: Vec<String>,
}

/// Stops all processes that carry a tag: SIGTERM and SIGCONT, up to `grace`, then SIGKILL again
/// and again until two looks in a row find none. Blocks for at most `grace` and [`KILL_LIMIT`].
/// May be repeated.
///
/// # Errors
/// What the kernel says when `/proc` cannot be read, and an empty tag.
pub fn tagged(tag: &str, grace: Duration, keep: &[String]) -> io::Result<Terminated> {
    all_of(tag, &Named::default(), None, grace, keep)
}

/// [`tagged`], and with the same rule whoever is in one of these groups or is proven to be kin of the child: an
/// environment can be overwritten. The child is one of this boot.
///
/// # Errors
/// As [`tagged`].
pub fn all_of(
    tag: &str,
    groups: &Named,
    child: Option<ChildRef>,
    grace: Duration,
    keep: &[String],
) -> io::Result<Terminated> {
    let mut search = Search { tag, groups, kin: child.map(Kin::of), keep };
    let mut done = Terminated { by_group: !groups.is_empty(), ..Terminated::default() };
    let first = search.look()?;
    for process in &first.to_stop {
        // Refused for one process (another user's) must not spare the others.
        let _ = signal::send(process.id, Signal::TERM);
        let _ = signal::send(process.id, Signal::CONT);
    }
    done.asked = first.to_stop.len() as u32;
    done.untagged = first.untagged;
    done.found = first.to_stop.iter().take(NAMED).map(named).collect();
    let kill_at = Instant::now() + grace;
    while Instant::now() < kill_at && !search.look()?.to_stop.is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut killed: BTreeSet<(i32, u64)> = BTreeSet::new();
    let give_up = Instant::now() + KILL_LIMIT;
    let mut empty_looks = 0;
    while empty_looks < 2 && Instant::now() < give_up {
        let left = search.look()?.to_stop;
        empty_looks = if left.is_empty() { empty_looks + 1 } else { 0 };
        for ProcessRef { pid, start_ticks } in left.iter().map(|p| p.id) {
            if signal::send(ProcessRef { pid, start_ticks }, Signal::KILL).unwrap_or(false) {
                killed.insert((pid, start_ticks));
            }
        }
        if !left.is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    done.killed = killed.len() as u32;
    let last = search.look()?;
    done.survivors = last.to_stop.into_iter().chain(last.kept).map(|p| p.comm).collect();
    done.suspects = last.suspects.iter().take(NAMED).map(named).collect();
    Ok(done)
}

fn named(process: &ProcStat) -> String {
    format!("{} {}", process.comm, process.id.pid)
}

/// Who is looked for.
struct Search<'a> {
    tag: &'a str,
    groups: &'a Named,
    kin: Option<Kin>,
    keep: &'a [String],
}

/// Who was found.
struct Found {
    to_stop: Vec<ProcStat>,
    /// How many of them carry no tag.
    untagged: u32,
    kept: Vec<ProcStat>,
    suspects: Vec<ProcStat>,
}

impl Search<'_> {
    fn look(&mut self) -> io::Result<Found> {
        let mut all = descendants::by_tag(self.tag)?.found;
        // A group of the kernel's cannot be left by writing over an environment.
        let inside = self.groups.living()?;
        let grouped: Vec<ProcStat> = inside.into_iter().filter(|p| all.iter().all(|other| other.id != p.id)).collect();
        all.extend(grouped);
        let seen = self.kin.as_mut().map(Kin::look).transpose()?.unwrap_or_default();
        let is_new = |p: &ProcStat, all: &[ProcStat]| all.iter().all(|other| other.id != p.id);
        let untagged: Vec<ProcStat> = seen.ours.into_iter().filter(|p| is_new(p, &all)).collect();
        let suspects = seen.suspects.into_iter().filter(|p| is_new(p, &all)).collect();
        let count = untagged.iter().filter(|p| !is_kept(p, self.keep)).count() as u32;
        all.extend(untagged);
        let (kept, to_stop) = all.into_iter().partition(|p| is_kept(p, self.keep));
        Ok(Found { to_stop, untagged: count, kept, suspects })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn one_that_ignores_the_request_is_killed_and_a_kept_one_is_not() {
        let tag = format!("term-{}", uuid::Uuid::now_v7());
        let mut child = Command::new("sh")
            .args(["-c", "trap '' TERM; sleep 60 & echo ready; while :; do wait; sleep 1; done"])
            .env("WHARF_TAG", &tag)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        // The test is the parent: a zombie is no living process, so nobody needs to wait here.
        let done = tagged(&tag, Duration::from_millis(50), &[]).unwrap();
        assert!(done.killed >= 2, "{done:?}");
        assert_eq!(done.survivors, Vec::<String>::new());
        child.wait().unwrap();

        let mut child = Command::new("sleep").arg("60").env("WHARF_TAG", &tag).spawn().unwrap();
        let keep = ["sleep".to_owned()];
        let done = tagged(&tag, Duration::ZERO, &keep).unwrap();
        assert_eq!((done.asked, done.killed, done.survivors.as_slice()), (0, 0, keep.as_slice()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
