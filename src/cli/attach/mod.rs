//! `wharf attach`: the operator's terminal becomes that of a run, until a chord gives it back.

mod keys;
mod link;
mod screen;
mod signals;

use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;
use std::path::Path;

use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wharf_model::{Kind, RunStatus};
use wharf_store::log::{FLAG_GAP, Stream};

use super::context::Context;
use super::error::{CliError, Result, exit};
use super::follow::{Following, is_over};
use super::logs::{log_directory, named_run};
use crate::process::client::ClientError;
use keys::Keys;
use link::{Link, Typed};
use screen::Screen;
use signals::Signals;

/// Bytes of earlier output from which the screen is made.
const EARLIER_BYTES: u64 = 256 * 1024;
/// Typed bytes that wait here for a run that does not read; more is not taken.
const WAITING_MAX: usize = 64 * 1024;
/// Frames shown before keys get their turn.
const FRAMES_AT_ONCE: usize = 64;
/// Milliseconds until a run that did not read is tried again, and between two looks without news.
const AGAIN_MS: i64 = 50;
const LOOK_MS: i64 = 1_000;

/// Options of `wharf attach`.
#[derive(Debug, Clone, Args)]
pub struct AttachArgs {
    /// A run whose agent has tty = true: R-12, an id or a part of one
    #[arg(value_name = "RUN")]
    pub run: String,
}

/// Why the terminal was given back.
enum Left {
    Asked,
    Ended,
    Signal(u8),
}

/// Attaches to a run.
pub fn attach(context: &Context, args: &AttachArgs) -> Result<u8> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(CliError::usage("attach needs a terminal, and standard input or output is none")
            .next(format!("wharf logs {} -f", args.run)));
    }
    let reader = context.reader_for(&args.run)?;
    let id = named_run(&reader, &args.run)?;
    let Some(line) = reader.run_line(id)? else {
        return Err(CliError::new(exit::NOT_FOUND, "id_unknown", format!("nothing here is called {}", args.run)));
    };
    let name = Kind::Run.number(line.number);
    let refused = |cause: String| {
        CliError::new(exit::REFUSED, "illegal_state", format!("{name} has no terminal to attach to"))
            .cause(cause)
            .next(format!("wharf logs {name} -f"))
            .entity(name.clone())
    };
    if line.status.is_terminal() {
        return Err(refused(format!("it has ended: {}", line.status)));
    }
    let directory = log_directory(context, &reader, id)?.filter(|_| line.status == RunStatus::Running);
    let Some(directory) = directory else { return Err(refused("its process has not been started yet".into())) };
    drop(reader);
    let broken = |error: ClientError| match error {
        ClientError::Refused { code, message } if code == "no_terminal" || code == "not_allowed" => refused(message),
        ClientError::Refused { code, message } => CliError::answer(Some(&code), Some(&message)).entity(name.clone()),
        other => CliError::new(exit::NO_ANSWER, "orchestrator_absent", format!("{name} cannot be attached to"))
            .cause(other.to_string())
            .next(format!("wharf show {name}"))
            .entity(name.clone()),
    };
    let mut link = Link::open(context.data.clone(), directory.clone()).map_err(broken)?;
    context.remark(&format!("attached to {name}: ctrl-g d leaves it running, ctrl-g twice sends ctrl-g"));
    match session(&directory, &mut link)? {
        Ok(Left::Asked) => context.remark(&format!("{name} goes on; wharf attach {name} comes back")),
        Ok(Left::Ended) => context.remark(&format!("{name} has ended; wharf show {name} says how")),
        Ok(Left::Signal(number)) => return Ok(128 + number),
        Err(error) => return Err(broken(error)),
    }
    Ok(exit::DONE)
}

/// The terminal is the run's until somebody leaves. It is given back on every way out of here.
fn session(directory: &Path, link: &mut Link) -> Result<std::result::Result<Left, ClientError>> {
    let terminal = |e: std::io::Error| CliError::internal("the terminal cannot be used").cause(e.to_string());
    let signals = Signals::listen().map_err(terminal)?;
    let mut following: Option<Following> = None;
    let mut screen = Screen::take().map_err(terminal)?;
    let (mut keys, mut waiting, mut busy, mut resized) = (Keys::default(), Vec::new(), false, true);
    loop {
        if following.is_none() {
            following = Following::open_late(directory, Stream::Terminal, EARLIER_BYTES)?;
        }
        let (mut more, mut ended) = (false, false);
        if let Some(following) = &mut following {
            (ended, more) = following.drain_some(FRAMES_AT_ONCE, |frame| {
                if frame.stream == Stream::Terminal && frame.head.flags & FLAG_GAP == 0 {
                    screen.print(frame.payload);
                }
                Ok(())
            })?;
        }
        if resized {
            resized = false;
            let size = screen.resized().map_err(terminal)?;
            match link.resize(size) {
                Ok(()) => {}
                Err(_) if is_over(directory) => ended = true,
                Err(error) => return Ok(Err(error)),
            }
        }
        screen.draw().map_err(terminal)?;
        if ended && !more {
            return Ok(Ok(Left::Ended));
        }
        if !waiting.is_empty() {
            match link.type_in(&waiting) {
                Ok(Typed::Taken(count)) => {
                    waiting.drain(..count);
                    busy = false;
                }
                Ok(Typed::Busy) => busy = true,
                // It has ended meanwhile: the log says so in a moment, and shows its last words.
                Err(ClientError::Closed | ClientError::Unreachable { .. }) => waiting.clear(),
                Err(ClientError::Refused { code, .. }) if code == "not_allowed" => waiting.clear(),
                Err(error) => return Ok(Err(error)),
            }
        }
        let wait = if more || (!waiting.is_empty() && !busy) {
            0
        } else if busy {
            AGAIN_MS
        } else {
            LOOK_MS
        };
        let (typed, news) = wait_for(&signals, following.as_ref(), wait);
        let (another, end) = signals.take();
        resized |= another;
        if let Some(number) = end {
            return Ok(Ok(Left::Signal(number)));
        }
        if typed {
            let mut chunk = [0u8; 4096];
            let count = rustix::io::read(std::io::stdin(), &mut chunk).unwrap_or(0);
            if count == 0 {
                // The terminal is gone.
                return Ok(Ok(Left::Signal(1)));
            }
            let kept = waiting.len();
            if keys.take(&chunk[..count], &mut waiting) {
                return Ok(Ok(Left::Asked));
            }
            if waiting.len() > WAITING_MAX {
                waiting.truncate(kept);
                screen.ring().map_err(terminal)?;
            }
        }
        if !news && !typed && wait == LOOK_MS && is_over(directory) {
            // Whatever was written before its end is there by now.
            if let Some(following) = &mut following {
                following.drain(|frame| {
                    if frame.stream == Stream::Terminal {
                        screen.print(frame.payload);
                    }
                    Ok(())
                })?;
            }
            return Ok(Ok(Left::Ended));
        }
    }
}

/// Waits for keys, signals or output; says whether keys and whether output have come.
fn wait_for(signals: &Signals, following: Option<&Following>, wait_ms: i64) -> (bool, bool) {
    let stdin = std::io::stdin();
    let mut fds = vec![PollFd::new(&stdin, PollFlags::IN), PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
    if let Some(events) = following.and_then(Following::events) {
        fds.push(PollFd::from_borrowed_fd(events, PollFlags::IN));
    }
    // Without events of the file system the log is looked at often.
    let wait_ms = if fds.len() < 3 { wait_ms.min(AGAIN_MS) } else { wait_ms };
    let wait = Timespec { tv_sec: wait_ms / 1_000, tv_nsec: wait_ms % 1_000 * 1_000_000 };
    if poll(&mut fds, Some(&wait)).is_err() {
        return (false, true);
    }
    let typed = !fds[0].revents().is_empty();
    let news = fds.get(2).is_some_and(|f| !f.revents().is_empty());
    drop(fds);
    if let Some(following) = following.filter(|_| news) {
        following.take_events();
    }
    (typed, news)
}
