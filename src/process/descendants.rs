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
/// A process that appears while this reads may be missing: whoever needs an empty tree repeats
/// until a pass finds none.
///
/// # Errors
/// What the kernel says when `/proc` cannot be read: the tree is then unknown, not empty.
pub fn of(pid: i32) -> io::Result<Vec<ProcStat>> {
    let mut children: BTreeMap<i32, Vec<ProcStat>> = BTreeMap::new();
    for process in all()? {
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
    Ok(found)
}

/// Every process, zombies included.
///
/// # Errors
/// What the kernel says when `/proc` cannot be read.
pub(super) fn all() -> io::Result<Vec<ProcStat>> {
    let mut all = Vec::new();
    for pid in pids()? {
        all.extend(stat::read(pid)?);
    }
    Ok(all)
}

/// What a search by tag saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tagged {
    /// Living processes whose environment at their start held `WHARF_TAG=<tag>`.
    pub found: Vec<ProcStat>,
    /// Processes whose environment may not be read; most belong to other users.
    pub unreadable: u32,
}

/// All living processes that were started with `WHARF_TAG=<tag>`, except this one.
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
        let Some(process) = stat::read(pid)? else { continue };
        if !process.is_alive() || first.is_some_and(|first| process.id.start_ticks < first.start_ticks) {
            continue;
        }
        match environment_has(pid, entry.as_bytes()) {
            Ok(true) => tagged.found.push(process),
            Ok(false) => {}
            Err(error) if stat::is_gone(&error) => {}
            Err(_) => tagged.unreadable += 1,
        }
    }
    Ok(tagged)
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
