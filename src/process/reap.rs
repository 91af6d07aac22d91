//! Ends of children: looking at one without taking it, taking it with its resources.

use std::io;

use wharf_model::shim::Usage;

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Exit code, when it exited.
    pub code: Option<i32>,
    /// Signal number, when a signal ended it.
    pub signal: Option<i32>,
    /// Whether a core was dumped.
    pub core: bool,
}

/// What the children of this process look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Children {
    /// There is no child at all. For a subreaper this proves that nothing lives below it: every
    /// living descendant has an ancestor that is a child.
    None,
    /// There are children and none of them has ended.
    Alive,
    /// This one has ended and waits to be reaped.
    Ended(i32),
}

/// Looks whether this child has ended and leaves it as it is, so that its number and its group's
/// stay taken.
///
/// # Errors
/// What the kernel says: ECHILD for a process that is no child or has been reaped.
pub fn peek(pid: i32) -> io::Result<Option<Ended>> {
    let info = wait_info(libc::P_PID, pid as libc::id_t)?;
    Ok(info.filter(|i| i.pid != 0).map(|i| match i.code {
        libc::CLD_EXITED => Ended { code: Some(i.status), signal: None, core: false },
        code => Ended { code: None, signal: Some(i.status), core: code == libc::CLD_DUMPED },
    }))
}

/// Looks at all children and changes nothing.
///
/// # Errors
/// What the kernel says.
pub fn peek_any() -> io::Result<Children> {
    match wait_info(libc::P_ALL, 0) {
        Ok(Some(info)) if info.pid != 0 => Ok(Children::Ended(info.pid)),
        Ok(_) => Ok(Children::Alive),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(Children::None),
        Err(error) => Err(error),
    }
}

/// Whether any child lives; those that ended and were not reaped do not count. For a subreaper
/// this answers for everything below it. Changes nothing.
///
/// # Errors
/// What the kernel says.
pub fn has_living_child() -> io::Result<bool> {
    // Without WEXITED a child that ended is nothing to wait for, so ECHILD means that none lives.
    match wait_info_with(libc::P_ALL, 0, libc::WSTOPPED | libc::WNOHANG | libc::WNOWAIT) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Another change of a child than its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A signal stopped it, by number.
    Stopped(i32),
    /// It goes on.
    Continued,
}

/// Takes the newest stop or continuation of this child, each once; its end is neither looked at nor
/// taken. `None` when there is nothing new. A child that somebody traces shows such changes to its
/// tracer only.
///
/// # Errors
/// What the kernel says: ECHILD for a process that is no child, has ended or has been reaped.
pub fn take_change(pid: i32) -> io::Result<Option<Change>> {
    let what = libc::WSTOPPED | libc::WCONTINUED | libc::WNOHANG;
    let info = wait_info_with(libc::P_PID, pid as libc::id_t, what)?;
    Ok(info.filter(|i| i.pid != 0).map(|i| match i.code {
        libc::CLD_CONTINUED => Change::Continued,
        _ => Change::Stopped(i.status),
    }))
}

/// Takes the end of this child; `None` while it runs. From then on its number may be reused.
///
/// # Errors
/// What the kernel says: ECHILD for a process that is no child or has been reaped.
#[expect(unsafe_code, reason = "wait4 gives the resources of one child; no safe wrapper offers it")]
pub fn reap(pid: i32) -> io::Result<Option<(Ended, Usage)>> {
    let mut status = 0;
    // SAFETY: all-zero is a valid `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are valid for the call.
        match unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG, &raw mut usage) } {
            0 => return Ok(None),
            n if n > 0 => break,
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    let ended = if libc::WIFEXITED(status) {
        Ended { code: Some(libc::WEXITSTATUS(status)), signal: None, core: false }
    } else {
        Ended { code: None, signal: Some(libc::WTERMSIG(status)), core: libc::WCOREDUMP(status) }
    };
    let micros = |t: libc::timeval| (t.tv_sec.max(0) as u64) * 1_000_000 + t.tv_usec.max(0) as u64;
    let usage = Usage {
        user_us: micros(usage.ru_utime),
        sys_us: micros(usage.ru_stime),
        maxrss_kib: usage.ru_maxrss.max(0) as u64,
    };
    Ok(Some((ended, usage)))
}

struct WaitInfo {
    pid: i32,
    code: i32,
    status: i32,
}

fn wait_info(kind: libc::idtype_t, id: libc::id_t) -> io::Result<Option<WaitInfo>> {
    wait_info_with(kind, id, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT)
}

#[expect(unsafe_code, reason = "the safe wrapper of waitid does not tell which child it saw")]
fn wait_info_with(kind: libc::idtype_t, id: libc::id_t, options: libc::c_int) -> io::Result<Option<WaitInfo>> {
    loop {
        // SAFETY: all-zero is a valid `siginfo_t`; the pointer is valid for the call.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        if unsafe { libc::waitid(kind, id, &raw mut info, options) } == 0 {
            // SAFETY: waitid fills the SIGCHLD fields, or leaves them zero when nothing ended.
            let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
            return Ok(Some(WaitInfo { pid, code: info.si_code, status }));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::Signal;

    use super::*;

    fn wait_for_end(pid: i32) -> Ended {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while std::time::Instant::now() < end {
            if let Some(ended) = peek(pid).unwrap() {
                return ended;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("child {pid} did not end");
    }

    #[test]
    fn a_peeked_child_can_still_be_reaped_once() {
        let table = [("exit 7", Some(7), None), ("kill -9 $$", None, Some(9))];
        for (script, code, signal) in table {
            #[expect(clippy::zombie_processes, reason = "reaping it by number is what is tested")]
            let child = std::process::Command::new("sh").args(["-c", script]).spawn().unwrap();
            let pid = child.id() as i32;
            let seen = wait_for_end(pid);
            assert_eq!((seen.code, seen.signal), (code, signal), "{script}");
            assert_eq!(peek(pid).unwrap(), Some(seen), "looking changes nothing");
            let (taken, usage) = reap(pid).unwrap().unwrap();
            assert_eq!(taken, seen);
            assert!(usage.maxrss_kib > 0);
            assert_eq!(peek(pid).unwrap_err().raw_os_error(), Some(libc::ECHILD));
        }
    }

    #[test]
    fn stops_are_taken_once_and_the_end_is_left() {
        #[expect(clippy::zombie_processes, reason = "reaping it by number is what is tested")]
        let child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id() as i32;
        let send = |signal| {
            rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
        };
        let change = || {
            let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
            while std::time::Instant::now() < end {
                if let Some(change) = take_change(pid).unwrap() {
                    return change;
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            panic!("child {pid} did not change");
        };
        assert_eq!(take_change(pid).unwrap(), None, "it runs");
        // The kernel ignores the other signals that stop in a group whose session has no terminal.
        for _ in 0..2 {
            send(Signal::STOP);
            assert_eq!(change(), Change::Stopped(libc::SIGSTOP));
            assert_eq!(take_change(pid).unwrap(), None, "each is taken once");
            send(Signal::CONT);
            assert_eq!(change(), Change::Continued);
        }
        send(Signal::KILL);
        let ended = wait_for_end(pid);
        assert_eq!(ended.signal, Some(libc::SIGKILL));
        assert_eq!(take_change(pid).unwrap_err().raw_os_error(), Some(libc::ECHILD), "an end is no change");
        assert_eq!(reap(pid).unwrap().unwrap().0, ended);
    }
}
