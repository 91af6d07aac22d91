//! A short command beside everything else, such as a check of a service: bounded in time and in what is kept
//! of its words, and ended with all that it started.

use std::io::{self, ErrorKind, PipeReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open, test_kill_process_group};

use super::signal::{self, Signal};
use super::{bound, descendants, terminate};

/// Bytes of its output that are kept: the last ones.
const KEPT_BYTES: usize = 2 * 1024;
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 8 * 1024;
/// Chunks that are read behind its end: as much as a pipe holds.
const LAST_CHUNKS: usize = 8;
/// Time in which a killed command must be gone before it is left to a thread of its own.
const GONE_LIMIT: Duration = Duration::from_millis(500);

/// How a short command ended.
#[derive(Debug)]
pub enum End {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It took too long, and was killed with all that it had started.
    TimedOut,
    /// It was not started, or could not be watched.
    Failed(io::Error),
}

/// What became of a short command.
#[derive(Debug)]
pub struct Brief {
    /// Its end.
    pub end: End,
    /// The last that it said, on either stream, as text.
    pub said: String,
}

/// Runs a command for at most `limit`, without input. It dies with this process; what it leaves behind in its
/// group, and when it took too long whatever carries `tag` in its environment, is killed. The tag must be of
/// this command alone. Blocks.
pub fn run(mut command: Command, tag: &str, limit: Duration) -> Brief {
    let end = Instant::now() + limit;
    let failed = |error| Brief { end: End::Failed(error), said: String::new() };
    let (output, writer) = match io::pipe() {
        Ok(ends) => ends,
        Err(error) => return failed(error),
    };
    let copy = match writer.try_clone() {
        Ok(copy) => copy,
        Err(error) => return failed(error),
    };
    command.env("WHARF_TAG", tag).stdin(Stdio::null()).stdout(copy).stderr(writer);
    match bound::spawn(command) {
        Ok(child) => watch(child, output, tag, end),
        Err(error) => failed(error),
    }
}

fn watch(mut child: Child, mut output: PipeReader, tag: &str, end: Instant) -> Brief {
    let mut said = Vec::new();
    let seen = until_exit(&child, &mut output, &mut said, end);
    let pid = child.id() as i32;
    let ended = match seen {
        Ok(true) => match child.wait() {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => End::Code(code),
                (None, signal) => End::Signal(signal.unwrap_or(0)),
            },
            Err(error) => End::Failed(error),
        },
        other => {
            kill_tree(pid);
            // Killed and unreaped: its number is still its own.
            if !matches!(until_exit(&child, &mut output, &mut said, Instant::now() + GONE_LIMIT), Ok(true)) {
                tracing::warn!(pid, "a killed command is not gone yet");
            }
            std::thread::spawn(move || child.wait());
            end_tagged(tag);
            other.map_or_else(End::Failed, |_| End::TimedOut)
        }
    };
    if !matches!(ended, End::TimedOut) && Pid::from_raw(pid).is_some_and(|group| test_kill_process_group(group).is_ok())
    {
        end_tagged(tag);
    }
    Brief { end: ended, said: String::from_utf8_lossy(&said).trim().to_owned() }
}

/// Reads until the child has ended; `false` when the time is over.
fn until_exit(child: &Child, output: &mut PipeReader, said: &mut Vec<u8>, end: Instant) -> io::Result<bool> {
    // Our own unreaped child: the number cannot mean anyone else.
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    rustix::io::ioctl_fionbio(&*output, true)?;
    let mut open = true;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let wait = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let (exited, readable) = {
            let mut fds = [PollFd::new(&pidfd, PollFlags::IN), PollFd::new(&*output, PollFlags::IN)];
            let watched = if open { &mut fds[..] } else { &mut fds[..1] };
            match poll(watched, Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            (!fds[0].revents().is_empty(), open && !fds[1].revents().is_empty())
        };
        if readable {
            open = take(output, said)?.is_some();
        }
        if exited {
            // What it said last; somebody who goes on writing is not waited for.
            for _ in 0..LAST_CHUNKS {
                if !open || take(output, said)?.is_none_or(|count| count == 0) {
                    break;
                }
            }
            return Ok(true);
        }
    }
}

/// Takes what is there, a chunk at most, and says how much; none at the end of the stream.
fn take(output: &mut PipeReader, said: &mut Vec<u8>) -> io::Result<Option<usize>> {
    let mut chunk = [0; CHUNK_BYTES];
    match output.read(&mut chunk) {
        Ok(0) => Ok(None),
        Ok(count) => {
            said.extend_from_slice(&chunk[..count]);
            let over = said.len().saturating_sub(KEPT_BYTES);
            said.drain(..over);
            Ok(Some(count))
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(Some(0)),
        Err(error) => Err(error),
    }
}

/// Kills a child that was not waited for yet, and those below it.
fn kill_tree(pid: i32) {
    let below = descendants::of(pid).unwrap_or_default();
    let _ = signal::send_group(pid, Signal::KILL);
    for process in below {
        let _ = signal::send(process.id, Signal::KILL);
    }
}

/// Kills whatever carries the tag. What cannot be looked at now is looked for again by the next one.
pub fn end_tagged(tag: &str) {
    if let Err(error) = terminate::tagged(tag, Duration::ZERO, &[]) {
        tracing::warn!(%error, tag, "what a command left behind cannot be looked for");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> (Brief, String) {
        let tag = format!("brief-{}", uuid::Uuid::now_v7());
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        (run(command, &tag, limit), tag)
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn ends_and_words_are_told() {
        let (done, _) = sh("echo fine; echo oh >&2; exit 3", LONG);
        assert!(matches!(done.end, End::Code(3)), "{done:?}");
        assert_eq!(done.said, "fine\noh");
        let (killed, _) = sh("kill -KILL $$", LONG);
        assert!(matches!(killed.end, End::Signal(9)), "{killed:?}");
        assert!(matches!(run(Command::new("/no/such"), "brief-none", LONG).end, End::Failed(_)));
    }

    #[test]
    fn one_that_hangs_is_killed_with_all_that_it_started() {
        let began = Instant::now();
        let script = "trap '' TERM; (setsid sleep 600 &) ; sleep 600 & while :; do sleep 1; done";
        let (hung, tag) = sh(script, Duration::from_millis(400));
        assert!(matches!(hung.end, End::TimedOut), "{hung:?}");
        assert!(began.elapsed() < Duration::from_secs(10));
        assert_eq!(descendants::by_tag(&tag).unwrap().found, []);
    }

    #[test]
    fn what_stays_behind_a_good_end_is_killed_and_nobody_waits_for_its_output() {
        let began = Instant::now();
        let (done, tag) = sh("sleep 600 & exit 0", LONG);
        assert!(matches!(done.end, End::Code(0)), "{done:?}");
        assert!(began.elapsed() < Duration::from_secs(10));
        assert_eq!(descendants::by_tag(&tag).unwrap().found, []);
    }

    #[test]
    fn a_flood_is_bounded() {
        let (done, _) = sh("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last", LONG);
        assert!(matches!(done.end, End::Code(0)), "{done:?}");
        assert!(done.said.ends_with("last") && done.said.len() <= KEPT_BYTES, "{}", done.said.len());
    }
}
