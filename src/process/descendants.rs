//! Who belongs to a run: the tree below a subreaper, and everyone who carries its tag.

use std::collections::BTreeMap;
use std::io;

use wharf_model::shim::ProcessRef;

use super::numbers::Younger;
use super::stat::{self, ProcStat};

/// Bytes of one environment that are searched for a tag; the kernel's own limit for arguments
/// and environment together is a few MiB.
const ENVIRONMENT_MAX_BYTES: u64 = 8 << 20;
/// Looks at a process that is just executing another program, and the pause between them.
const EXEC_LOOKS: u32 = 20;
const EXEC_PAUSE: std::time::Duration = std::time::Duration::from_millis(1);

/// All processes below `pid`, zombies included, parents before their children.
///
/// Processes of other users may be hidden from this one (`hidepid`); they are left out. A process that
/// appears while this reads may be missing: whoever needs an empty tree repeats until a pass finds none.
///
/// # Errors
/// What the kernel says when `/proc` cannot be read: the tree is then unknown, not empty.
pub fn of(pid: i32) -> io::Result<Vec<ProcStat>> {
    Ok(below(pid, all()?))
}

fn below(pid: i32, all: Vec<ProcStat>) -> Vec<ProcStat> {
    let mut children: BTreeMap<i32, Vec<ProcStat>> = BTreeMap::new();
    for process in all {
        children.entry(process.ppid).or_default().push(process);
    }
    let mut found = children.remove(&pid).unwrap_or_default();
    let mut next = 0;
    while let Some(process) = found.get(next) {
        // Taking the entry out also ends a cycle that numbers reused during the walk could make.
        let below = children.remove(&process.id.pid).unwrap_or_default();
        found.extend(below);
        next += 1;
    }
    found
}

/// Every process, zombies included, but those that this one may not see.
///
/// # Errors
/// What the kernel says when `/proc` cannot be read.
pub(super) fn all() -> io::Result<Vec<ProcStat>> {
    seen(pids()?, stat::read)
}

fn seen(pids: Vec<i32>, read: impl Fn(i32) -> io::Result<Option<ProcStat>>) -> io::Result<Vec<ProcStat>> {
    let mut all = Vec::new();
    for pid in pids {
        all.extend(unless_hidden(read(pid))?);
    }
    Ok(all)
}

/// What a search by tag saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tagged {
    /// Living processes whose environment at their start held `WHARF_TAG=<tag>`.
    pub found: Vec<ProcStat>,
}

/// All living processes that were started with `WHARF_TAG=<tag>`, except this one and those whose
/// environment may not be read: other users' and such as changed their user.
///
/// # Errors
/// What the kernel says when `/proc` cannot be read, and [`io::ErrorKind::InvalidInput`] for an
/// empty tag, which would match nothing that is meant.
pub fn by_tag(tag: &str) -> io::Result<Tagged> {
    tagged(tag, None)
}

/// [`by_tag`] among processes that are younger than `first`: much cheaper for someone who knows
/// that the tag is no older.
///
/// # Errors
/// As [`by_tag`].
pub fn by_tag_since(tag: &str, first: ProcessRef) -> io::Result<Tagged> {
    tagged(tag, Some(first))
}

fn tagged(tag: &str, first: Option<ProcessRef>) -> io::Result<Tagged> {
    if tag.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "an empty tag names no process"));
    }
    let entry = format!("WHARF_TAG={tag}");
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let mut tagged = Tagged::default();
    let all = pids()?;
    let younger = first.and_then(Younger::than);
    for pid in all {
        if pid == me || younger.is_some_and(|numbers| !numbers.may_have(pid)) {
            continue;
        }
        // Identity before the environment: a number reused in between then fails to match later.
        let Some(process) = unless_hidden(stat::read(pid))? else { continue };
        if !process.is_alive() || first.is_some_and(|first| process.id.start_ticks < first.start_ticks) {
            continue;
        }
        // An error: it is gone meanwhile, or not to be read.
        if environment_has(pid, entry.as_bytes()).unwrap_or(false) {
            tagged.found.push(process);
        }
    }
    Ok(tagged)
}

/// One that this process may not see is another user's, and no reason not to see the others.
fn unless_hidden(read: io::Result<Option<ProcStat>>) -> io::Result<Option<ProcStat>> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        read => read,
    }
}

fn environment_has(pid: i32, entry: &[u8]) -> io::Result<bool> {
    let mut environment = read_some(pid, "environ")?;
    // In the middle of an exec a process has neither arguments nor an environment; kernel threads have no program.
    for _ in 0..EXEC_LOOKS {
        if !environment.is_empty()
            || !read_some(pid, "cmdline")?.is_empty()
            || std::fs::read_link(format!("/proc/{pid}/exe")).is_err()
        {
            break;
        }
        std::thread::sleep(EXEC_PAUSE);
        environment = read_some(pid, "environ")?;
    }
    Ok(environment.split(|&b| b == 0).any(|one| one == entry))
}

fn read_some(pid: i32, what: &str) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(format!("/proc/{pid}/{what}"))?.take(ENVIRONMENT_MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn pids() -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        if let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            pids.push(pid);
        }
    }
    Ok(pids)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_that_may_not_be_seen_hides_no_other() {
        let read = |pid: i32| match pid {
            // EPERM is what `hidepid=1` says, EACCES what a security module may.
            2 => Err(io::Error::from_raw_os_error(libc::EPERM)),
            3 => Err(io::Error::from_raw_os_error(libc::EACCES)),
            pid => {
                Ok(stat::parse(format!("{pid} (x) S {} 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 9 1 2", pid - 4).as_bytes()))
            }
        };
        let found = below(1, seen(vec![2, 3, 5, 9], read).unwrap());
        assert_eq!(found.iter().map(|p| p.id.pid).collect::<Vec<_>>(), [5, 9]);
        let broken = |_| Err(io::Error::from_raw_os_error(libc::EIO));
        assert!(seen(vec![5], broken).is_err(), "unknown is not empty");
    }

    #[test]
    fn grandchildren_and_tags_are_found() {
        let tag = format!("test-{}-{}", std::process::id(), uuid::Uuid::now_v7());
        let mut child = Command::new("sh")
            .args(["-c", "sleep 60 & echo $!; read _"])
            .env("WHARF_TAG", &tag)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let sleeper: i32 = line.trim().parse().unwrap();

        let below: Vec<i32> = of(child.id() as i32).unwrap().iter().map(|p| p.id.pid).collect();
        assert_eq!(below, [sleeper]);
        let mut tagged: Vec<i32> = by_tag(&tag).unwrap().found.iter().map(|p| p.id.pid).collect();
        tagged.sort_unstable();
        let mut expected = vec![sleeper, child.id() as i32];
        expected.sort_unstable();
        assert_eq!(tagged, expected);
        assert!(by_tag(&tag[..tag.len() - 1]).unwrap().found.is_empty(), "a part of a tag is another tag");
        assert!(by_tag("").is_err());

        for process in by_tag(&tag).unwrap().found {
            super::super::signal::send(process.id, super::super::signal::Signal::KILL).unwrap();
        }
        child.wait().unwrap();
    }
}
