//! The stop rule for processes whose keeper is gone: ask, wait, kill, until none is left.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use super::descendants;
use super::signal::{self, Signal};
use super::stat::ProcStat;
use wharf_model::shim::ProcessRef;

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

/// What a stop by tag needed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terminated {
    /// Processes that were asked to end.
    pub asked: u32,
    /// Processes that needed SIGKILL.
    pub killed: u32,
    /// The first few of those asked, by name and number.
    pub found: Vec<String>,
    /// Command names of those that live on: kept by name, or not to be ended within
    /// [`KILL_LIMIT`].
    pub survivors: Vec<String>,
}

/// Stops all processes that carry a tag: SIGTERM and SIGCONT, up to `grace`, then SIGKILL again
/// and again until two looks in a row find none. Blocks for at most `grace` and [`KILL_LIMIT`].
/// May be repeated.
///
/// # Errors
/// What the kernel says when `/proc` cannot be read, and an empty tag.
pub fn tagged(tag: &str, grace: Duration, keep: &[String]) -> io::Result<Terminated> {
    let mut done = Terminated::default();
    let first = to_stop(tag, keep)?;
    for process in &first {
        // Refused for one must not spare the others; who lives on is told at the end.
        let _ = signal::send(process.id, Signal::TERM);
        let _ = signal::send(process.id, Signal::CONT);
    }
    done.asked = first.len() as u32;
    done.found = first.iter().take(NAMED).map(|p| format!("{} {}", p.comm, p.id.pid)).collect();
    let kill_at = Instant::now() + grace;
    while Instant::now() < kill_at && !to_stop(tag, keep)?.is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut killed: BTreeSet<(i32, u64)> = BTreeSet::new();
    let give_up = Instant::now() + KILL_LIMIT;
    let mut empty_looks = 0;
    while empty_looks < 2 && Instant::now() < give_up {
        let left = to_stop(tag, keep)?;
        empty_looks = if left.is_empty() { empty_looks + 1 } else { 0 };
        for ProcessRef { pid, start_ticks } in left.iter().map(|p| p.id) {
            // Refused for one process (another user's) must not spare the others.
            if signal::send(ProcessRef { pid, start_ticks }, Signal::KILL).unwrap_or(false) {
                killed.insert((pid, start_ticks));
            }
        }
        if !left.is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    done.killed = killed.len() as u32;
    done.survivors = descendants::by_tag(tag)?.found.into_iter().map(|p| p.comm).collect();
    Ok(done)
}

fn to_stop(tag: &str, keep: &[String]) -> io::Result<Vec<ProcStat>> {
    Ok(descendants::by_tag(tag)?.found.into_iter().filter(|p| !is_kept(p, keep)).collect())
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
