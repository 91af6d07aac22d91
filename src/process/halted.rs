//! Whether the child that a directory names stands still, and by whom: what the kernel says now, and
//! since when as its shim wrote it down.

use std::path::Path;

use wharf_model::shim::{IdFile, ProcessRef};

use super::shim_dir::names;
use super::{identity, stat};

/// Most bytes of an `id.json`, and of a status file of the kernel's, that are read.
const READ_MAX_BYTES: u64 = 64 << 10;

/// A child that lives and does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halted {
    /// Its number.
    pub pid: i32,
    /// What holds it.
    pub by: HaltedBy,
}

/// What holds a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HaltedBy {
    /// A signal stopped it; which one and since when (wall time, milliseconds), once its shim has said so.
    Signal(Option<(String, i64)>),
    /// Somebody traces it: number and command name, as far as they can be told.
    Tracer(Option<(i32, String)>),
}

/// The child that a directory names, if it is of this boot.
pub fn child(dir: &Path) -> Option<ProcessRef> {
    let id = read_id(dir)?;
    let child = id.child?;
    Some(ProcessRef { pid: child.pid, start_ticks: child.start_ticks })
}

/// How this child of the directory stands still; `None` when it goes on, is gone, or cannot be looked
/// at. Never waits; costs one read of `/proc` for a child that goes on.
pub fn look(dir: &Path, child: ProcessRef) -> Option<Halted> {
    let it = stat::read(child.pid).ok()?.filter(|it| it.id == child)?;
    let by = match it.state {
        'T' => {
            let stopped = read_id(dir).and_then(|id| id.stopped);
            HaltedBy::Signal(stopped.map(|s| (s.signal, s.at_ms)))
        }
        't' => HaltedBy::Tracer(tracer(child.pid)),
        _ => return None,
    };
    Some(Halted { pid: child.pid, by })
}

/// [`look`] for whoever does not know the child yet.
pub fn of(dir: &Path) -> Option<Halted> {
    look(dir, child(dir)?)
}

fn read_id(dir: &Path) -> Option<IdFile> {
    let id: IdFile = serde_json::from_slice(&read_some(&dir.join(names::ID))?).ok()?;
    // Numbers of another boot name strangers.
    (id.boot_id == identity::boot_id().ok()?).then_some(id)
}

fn tracer(pid: i32) -> Option<(i32, String)> {
    let status = read_some(Path::new(&format!("/proc/{pid}/status")))?;
    let status = String::from_utf8_lossy(&status);
    let tracer: i32 = status.lines().find_map(|l| l.strip_prefix("TracerPid:"))?.trim().parse().ok()?;
    // Zero is nobody, or somebody of another name space.
    let it = stat::read(tracer).ok().filter(|_| tracer > 0)?;
    Some((tracer, it.map(|it| it.comm).unwrap_or_default()))
}

fn read_some(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(READ_MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use wharf_model::shim::{ChildRef, PROTOCOL, Stopped};

    use super::super::signal::{self, Signal};
    use super::*;

    fn id(child: ChildRef, boot_id: &str, stopped: Option<Stopped>) -> IdFile {
        let shim = identity::this_process().unwrap();
        IdFile {
            v: 1,
            shim,
            cgroups: Vec::new(),
            boot_id: boot_id.to_owned(),
            child: Some(child),
            version: "0".into(),
            protocol: PROTOCOL,
            stopped,
        }
    }

    #[test]
    fn a_stopped_child_is_seen_while_it_is_the_one_that_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(of(dir.path()), None, "no file");
        let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
        let child = identity::child(sleeper.id() as i32).unwrap().unwrap();
        let it = ProcessRef { pid: child.pid, start_ticks: child.start_ticks };
        let boot = identity::boot_id().unwrap();
        let write =
            |file: &IdFile| std::fs::write(dir.path().join(names::ID), serde_json::to_vec(file).unwrap()).unwrap();
        let since = Some(Stopped { signal: "SIGSTOP".into(), at_ms: 7 });
        write(&id(child, &boot, since.clone()));
        assert_eq!(of(dir.path()), None, "what was written is not what is");
        signal::send(it, Signal::STOP).unwrap();
        while stat::read(it.pid).unwrap().unwrap().state != 'T' {
            std::thread::yield_now();
        }
        let by = HaltedBy::Signal(Some(("SIGSTOP".into(), 7)));
        assert_eq!(of(dir.path()), Some(Halted { pid: it.pid, by }));
        write(&id(child, &boot, None));
        assert_eq!(of(dir.path()), Some(Halted { pid: it.pid, by: HaltedBy::Signal(None) }));
        write(&id(ChildRef { start_ticks: child.start_ticks + 1, ..child }, &boot, since.clone()));
        assert_eq!(of(dir.path()), None, "a later process with its number");
        write(&id(child, "another boot", since));
        assert_eq!(of(dir.path()), None, "a number of another boot");
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }

    #[test]
    fn an_older_file_without_the_field_and_a_newer_one_with_more_are_read() {
        let text = r#"{"v":1,"shim":{"pid":1,"start_ticks":2},"boot_id":"b","child":null,"version":"0","protocol":1,"later":3}"#;
        let read: IdFile = serde_json::from_str(text).unwrap();
        assert_eq!(read.stopped, None);
        assert!(!serde_json::to_string(&read).unwrap().contains("stopped"), "what is not said is not written");
    }
}
