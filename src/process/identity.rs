//! Which process is meant: number, kernel start time and boot, never a number alone.

use std::io;
use std::sync::OnceLock;

use wharf_model::shim::{ChildRef, ProcessRef};

use super::stat;

/// The kernel's boot id: another value means that every stored process number is void.
///
/// # Errors
/// What the kernel says when `/proc` cannot be read.
pub fn boot_id() -> io::Result<String> {
    // No process outlives its boot.
    static KNOWN: OnceLock<String> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(known.clone());
    }
    let path = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(path)
        .map_err(|e| io::Error::new(e.kind(), format!("cannot read the boot id at {path}: {e}")))?;
    Ok(KNOWN.get_or_init(|| text.trim().to_owned()).clone())
}

/// This process.
///
/// # Errors
/// What the kernel says when `/proc` cannot be read.
pub fn this_process() -> io::Result<ProcessRef> {
    process(rustix::process::getpid().as_raw_nonzero().get())?
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "/proc does not show this process"))
}

/// The process that has this number now; `None` when there is none (a zombie counts as one).
///
/// # Errors
/// What the kernel says when `/proc` cannot be read.
pub fn process(pid: i32) -> io::Result<Option<ProcessRef>> {
    Ok(stat::read(pid)?.map(|p| p.id))
}

/// Number, start time, group and session of a process; `None` when there is none.
///
/// # Errors
/// What the kernel says when `/proc` cannot be read.
pub fn child(pid: i32) -> io::Result<Option<ChildRef>> {
    Ok(stat::read(pid)?.map(|p| ChildRef { pid: p.id.pid, start_ticks: p.id.start_ticks, pgid: p.pgid, sid: p.sid }))
}

/// Whether exactly this process still runs: same number, same start time, no zombie.
///
/// # Errors
/// What the kernel says when `/proc` cannot be read: then the answer is unknown, not "dead".
pub fn is_alive(process: ProcessRef) -> io::Result<bool> {
    Ok(stat::read(process.pid)?.is_some_and(|p| p.id == process && p.is_alive()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_another_start_time_is_a_stranger() {
        let me = this_process().unwrap();
        assert!(is_alive(me).unwrap());
        assert!(!is_alive(ProcessRef { start_ticks: me.start_ticks + 1, ..me }).unwrap());
        assert!(!is_alive(ProcessRef { pid: i32::MAX, start_ticks: 1 }).unwrap());
    }

    #[test]
    fn the_boot_id_is_a_uuid() {
        assert_eq!(boot_id().unwrap().len(), 36);
    }
}
