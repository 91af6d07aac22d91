//! Looking at what each agent left behind: commits, files, sockets, and every byte of its output.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use wharf_model::{RunStatus, ServiceRow};
use wharf_store::Reader;
use wharf_store::log::{LogReader, Stream, StreamSet, copy_to};
use wharf_store::view::{RunDetail, ServiceQuery};

use super::project::{Demo, FLOOD_MIB, PAGE, git};
use super::stage::Started;
use crate::dispatch::perform::shim_dir;
use crate::process::descendants;

/// Most bytes of a stream or a file that are compared.
const COMPARE_MAX_BYTES: u64 = 4 << 20;

/// One thing that has to be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The agent, or `all`.
    pub agent: String,
    /// What has to be so.
    pub claim: String,
    /// Why it is not; `None` when it is.
    pub problem: Option<String>,
}

impl Finding {
    /// A finding from the outcome of looking.
    pub fn new(agent: &str, claim: impl Into<String>, outcome: Result<(), String>) -> Self {
        Self { agent: agent.to_owned(), claim: claim.into(), problem: outcome.err() }
    }
}

/// Looks at every run of the cast.
pub fn of_all(demo: &Demo, reader: &Reader, cast: &[Started]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for started in cast {
        let agent = started.part.agent;
        let detail = match reader.run_detail(started.run) {
            Ok(Some(detail)) => detail,
            Ok(None) => {
                findings.push(Finding::new(agent, "its run is in the ledger", Err("it is not".into())));
                continue;
            }
            Err(error) => {
                findings.push(Finding::new(agent, "its run is in the ledger", Err(error.to_string())));
                continue;
            }
        };
        let run = Looked { demo, reader, detail };
        let mut add = |claim: &str, outcome| findings.push(Finding::new(agent, claim, outcome));
        match agent {
            "fixer" => {
                add("succeeded", run.has(RunStatus::Succeeded));
                add("left a commit on its branch, and none on main", run.committed());
                add("left a comment on its issue", run.commented());
            }
            "visitor" => {
                add("succeeded", run.has(RunStatus::Succeeded));
                add("fetched the page from the service it shares", run.visited());
            }
            "builder" => {
                add("failed with exit code 3", run.has(RunStatus::Failed).and_then(|()| run.exited_with(3)));
                add("said why on stderr, after its report", run.reported());
            }
            "stubborn" => {
                add("was cancelled", run.has(RunStatus::Cancelled));
                add("left no process, in its session or another", run.is_gone());
            }
            "flood" => {
                add("succeeded", run.has(RunStatus::Succeeded));
                add("lost no byte of its output", run.flooded());
            }
            "quiet" => {
                add("succeeded", run.has(RunStatus::Succeeded));
                add("left its file and printed nothing", run.was_quiet());
            }
            "painter" => {
                add("succeeded", run.has(RunStatus::Succeeded));
                add("kept every colour, character and byte apart by stream", run.painted());
            }
            other => add("is known", Err(format!("nothing is known of agent {other}"))),
        }
    }
    findings
}

/// A run under examination.
struct Looked<'a> {
    demo: &'a Demo,
    reader: &'a Reader,
    detail: RunDetail,
}

impl Looked<'_> {
    fn has(&self, status: RunStatus) -> Result<(), String> {
        let run = &self.detail.run;
        let why = run.error.as_deref().map(|e| format!(": {e}")).unwrap_or_default();
        expect(run.status == status, || format!("it is {}{why}", run.status))
    }

    fn exited_with(&self, code: i32) -> Result<(), String> {
        expect(self.detail.run.exit_code == Some(code), || format!("its exit code is {:?}", self.detail.run.exit_code))
    }

    fn workspace(&self) -> Result<PathBuf, String> {
        let cwd = self.detail.workspace.as_ref().and_then(|w| w.cwd.clone());
        cwd.map(PathBuf::from).ok_or_else(|| "it has no workspace".to_owned())
    }

    fn file(&self, name: &str) -> Result<Vec<u8>, String> {
        use std::io::Read as _;
        let path = self.workspace()?.join(name);
        let mut bytes = Vec::new();
        let read = std::fs::File::open(&path).and_then(|file| file.take(COMPARE_MAX_BYTES).read_to_end(&mut bytes));
        read.map(|_| bytes).map_err(|e| format!("{}: {e}", path.display()))
    }

    fn stream(&self, stream: Stream) -> Result<Vec<u8>, String> {
        let dir = self.detail.run.log_ref.as_deref().ok_or("it has no log")?;
        stream_of(&self.demo.data.join(dir), stream)
    }

    fn committed(&self) -> Result<(), String> {
        let branch = self.detail.workspace.as_ref().and_then(|w| w.branch_name.clone()).ok_or("it has no branch")?;
        let ask = |args: &[&str]| git(&self.demo.project, args.iter().copied()).map_err(|e| e.to_string());
        let subject = ask(&["log", "--max-count=1", "--format=%s", &branch, "--"])?;
        same("the subject of its commit", subject.trim().as_bytes(), b"Greet visitors by their name")?;
        let committed = ask(&["show", &format!("{branch}:src/greet.sh")])?;
        expect(committed.contains("Welcome to the pier, $1."), || format!("{branch} does not know names"))?;
        let main = ask(&["rev-list", "--count", "main"])?;
        expect(main.trim() == "1", || format!("main has {} commits", main.trim()))
    }

    fn commented(&self) -> Result<(), String> {
        let said = self.detail.comments.iter().any(|c| c.body.starts_with("Visitors are greeted by their name"));
        expect(said && self.detail.run.issue_id.is_some(), || {
            format!("{} comments, none of them its own", self.detail.comments.len())
        })
    }

    fn service(&self) -> Result<ServiceRow, String> {
        let page = self.reader.services(&ServiceQuery::default(), None, 10).map_err(|e| e.to_string())?;
        let found = page.rows.into_iter().map(|item| item.service).find(|s| s.name == "web");
        found.ok_or_else(|| "there is no service web".to_owned())
    }

    fn visited(&self) -> Result<(), String> {
        same("visited.html", &self.file("visited.html")?, PAGE.as_bytes())?;
        let service = self.service()?;
        expect(service.generation == 1, || format!("the service was started {} times", service.generation))?;
        let dir = shim_dir("service", &service.id.text(), service.generation).ok_or("the service has no directory")?;
        let log = stream_of(&self.demo.data.join(dir), Stream::Stdout)?;
        let line = format!("GET /?visitor=R-{} 200 OK", self.detail.run.number);
        let served = String::from_utf8_lossy(&log).lines().any(|l| l == line);
        expect(served, || format!("the service has not logged {line:?}"))
    }

    fn reported(&self) -> Result<(), String> {
        let report = self.file("build/report.txt")?;
        expect(report.ends_with(b"failed on purpose\n"), || "its report has no end".into())?;
        same("its stderr", &self.stream(Stream::Stderr)?, b"build: the shore is not where the map says\n")
    }

    fn is_gone(&self) -> Result<(), String> {
        let run = &self.detail.run;
        let tagged = descendants::by_tag(&format!("run/{}/{}", run.id, run.attempt)).map_err(|e| e.to_string())?;
        expect(tagged.found.is_empty(), || format!("{} of its processes live", tagged.found.len()))?;
        match answer(&self.workspace()?) {
            Ok(said) => Err(format!("its socket still answers {said:?}")),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(format!("its socket: {error}")),
        }
    }

    fn flooded(&self) -> Result<(), String> {
        let run = &self.detail.run;
        let expected = i64::try_from(FLOOD_MIB << 20).unwrap_or(i64::MAX);
        expect(run.stdout_bytes == Some(expected), || format!("{:?} of {expected} bytes", run.stdout_bytes))?;
        let sent = self.file("flood.sha256")?;
        let sent = String::from_utf8_lossy(&sent);
        let sent = sent.split_whitespace().next().unwrap_or_default();
        let kept = run.stdout_sha256.as_deref().unwrap_or("no hash");
        expect(kept == sent, || format!("sent {sent}, kept {kept}"))
    }

    fn was_quiet(&self) -> Result<(), String> {
        expect(self.file("quiet.txt")?.starts_with(b"counted to "), || "its file holds something else".into())?;
        let run = &self.detail.run;
        let printed = (run.stdout_bytes, run.stderr_bytes);
        expect(printed == (Some(0), Some(0)), || format!("it printed {printed:?} bytes"))
    }

    fn painted(&self) -> Result<(), String> {
        let stdout = self.stream(Stream::Stdout)?;
        same("its stdout", &stdout, &self.file("painted.out")?)?;
        same("its stderr", &self.stream(Stream::Stderr)?, &self.file("painted.err")?)?;
        let needles: [(&str, &[u8]); 4] = [
            ("a colour", b"\x1b[38;5;208m"),
            ("a wide character", "港".as_bytes()),
            ("a line written over", b"\rpainted 50 %"),
            ("bytes that are no text", b"\xff\xfe"),
        ];
        for (what, needle) in needles {
            expect(stdout.windows(needle.len()).any(|w| w == needle), || format!("{what} is missing"))?;
        }
        Ok(())
    }
}

/// What the process beyond its session says on its socket in a workspace.
///
/// # Errors
/// [`std::io::ErrorKind::NotFound`] before it is there, [`std::io::ErrorKind::ConnectionRefused`]
/// once nobody listens any more.
pub fn answer(workspace: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    use std::os::fd::AsRawFd as _;
    // The address of a socket holds 107 bytes, fewer than a path may have.
    let dir = std::fs::File::open(workspace)?;
    let path = format!("/proc/self/fd/{}/stubborn.sock", dir.as_raw_fd());
    let peer = std::os::unix::net::UnixStream::connect(path)?;
    peer.set_read_timeout(Some(std::time::Duration::from_secs(2)))?;
    let mut said = String::new();
    peer.take(100).read_to_string(&mut said)?;
    Ok(said)
}

fn stream_of(dir: &Path, stream: Stream) -> Result<Vec<u8>, String> {
    let words = |e: &dyn Display| format!("the log in {}: {e}", dir.display());
    let mut log = LogReader::open(dir).map_err(|e| words(&e))?;
    let start = log.start();
    let mut bytes = Vec::new();
    let copied = copy_to(&mut log, &mut bytes, StreamSet::of(&[stream]), start, COMPARE_MAX_BYTES);
    let copied = copied.map_err(|e| words(&e))?;
    expect(copied.gap_count == 0, || words(&format!("{} gaps", copied.gap_count))).map(|()| bytes)
}

fn expect(holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}

fn same(what: &str, found: &[u8], wanted: &[u8]) -> Result<(), String> {
    let at = found.iter().zip(wanted).position(|(a, b)| a != b).unwrap_or(found.len().min(wanted.len()));
    expect(found == wanted, || {
        format!("{what} has {} bytes where {} are wanted, and differs from byte {at} on", found.len(), wanted.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named() {
        assert_eq!(same("x", b"abc", b"abc"), Ok(()));
        assert_eq!(same("x", b"", b""), Ok(()));
        let table = [(&b"abd"[..], &b"abc"[..], "byte 2"), (b"ab", b"abc", "byte 2"), (b"abc", b"", "byte 0")];
        for (found, wanted, place) in table {
            assert!(same("x", found, wanted).unwrap_err().contains(place), "{found:?}");
        }
    }

    #[test]
    fn a_socket_that_nobody_holds_refuses() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(answer(dir.path()).unwrap_err().kind(), std::io::ErrorKind::NotFound);
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let held = std::os::unix::net::UnixListener::bind(dir.path().join("s")).unwrap();
        std::fs::rename(dir.path().join("s"), deep.join("stubborn.sock")).unwrap();
        let asked = std::thread::spawn({
            let deep = deep.clone();
            move || answer(&deep).unwrap()
        });
        let (mut peer, _) = held.accept().unwrap();
        std::io::Write::write_all(&mut peer, super::super::hand::HERE.as_bytes()).unwrap();
        drop((peer, held));
        assert_eq!(asked.join().unwrap(), super::super::hand::HERE);
        assert_eq!(answer(&deep).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    }
}
