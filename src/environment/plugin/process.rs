//! One process of a plugin: started with little, bound to this one, ended with its group.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal, pidfd_open};
use tokio::net::unix::pipe;
use tokio::sync::watch;

use crate::environment::driver::Check;
use crate::environment::search::{self, Checkout};
use crate::process::{bound, reap, signal};

/// Variables of the operator that a plugin gets; secrets it needs stand in its config.
const PASSED: &[&str] = &["PATH", "HOME", "TZ", "LANG"];

/// How a plugin is started.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Launch {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Directory that a program with a slash is looked up from, and that it starts in.
    pub base: PathBuf,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
}

impl Launch {
    /// A plugin with its command, in a directory, for one of its drivers.
    pub fn new(command: &[String], base: &Path, operator: &BTreeMap<String, String>, driver: &str) -> Self {
        let mut env: BTreeMap<String, String> = operator
            .iter()
            .filter(|(name, _)| PASSED.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        // By it the program is found, and what it starts itself.
        env.insert("PATH".into(), search::path(operator, base));
        env.insert("WHARF_PLUGIN".into(), driver.to_owned());
        env.insert("WHARF_PLUGIN_API".into(), super::API_VERSION.to_string());
        let mut command = command.to_vec();
        if let Some(program) = command.first_mut() {
            *program = located(program, base, operator.get("HOME").map(String::as_str));
        }
        Self { command, base: base.to_owned(), env }
    }

    /// The part of its command that agents can write, where it lies in their checkout.
    pub fn writable(&self) -> Option<PathBuf> {
        let checkout = Checkout::of(&self.base, &self.env)?;
        let paths = self.command.iter().map(|part| self.base.join(part));
        // A program without a slash is none of the checkout's, whatever lies there by that name.
        let bare = self.command.first().is_some_and(|program| !program.contains('/'));
        paths.skip(usize::from(bare)).find(|path| path.is_file() && checkout.holds(path))
    }

    /// What is to be said of that.
    pub fn caution(&self) -> Option<Check> {
        let path = self.writable()?;
        let words =
            format!("{} lies in the checkout: agents that can write there can change what wharf runs", path.display());
        Some(Check::warn("plugin_program", words, "keep the plugin outside of what agents write in"))
    }

    /// Its command, for people.
    pub fn shown(&self) -> String {
        self.command.join(" ")
    }
}

/// A program as it can be executed: one with a slash starts at the base, `~/` at the home; another is looked up.
fn located(program: &str, base: &Path, home: Option<&str>) -> String {
    let path = match (program.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => Path::new(home).join(rest),
        _ if program.contains('/') => base.join(program),
        _ => return program.to_owned(),
    };
    path.to_string_lossy().into_owned()
}

/// A running process; dropped, it and its group are killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    ended: watch::Receiver<bool>,
    reaped: bool,
}

/// Its three streams.
#[derive(Debug)]
pub struct Streams {
    /// What it reads.
    pub stdin: pipe::Sender,
    /// What it answers.
    pub stdout: pipe::Receiver,
    /// What it says otherwise.
    pub stderr: pipe::Receiver,
}

/// Why a process was not started.
#[derive(Debug, thiserror::Error)]
#[error("the plugin {program} cannot be started: {cause}")]
pub struct Unstarted {
    /// The program.
    pub program: String,
    /// What the kernel says.
    pub cause: io::Error,
}

impl Unstarted {
    /// Whether trying again changes nothing: it is not there, or is no program. Anything else, such as too many open
    /// files, may pass.
    pub fn is_refusal(&self) -> bool {
        let number = self.cause.raw_os_error().map(Errno::from_raw_os_error);
        matches!(number, Some(Errno::NOENT | Errno::ACCESS | Errno::NOEXEC))
    }
}

/// Starts it.
///
/// # Errors
/// It cannot be started now, or at all.
pub async fn start(launch: &Launch) -> Result<(Process, Streams), Unstarted> {
    let shown = launch.command.first().cloned().unwrap_or_default();
    let fail = |cause: io::Error| Unstarted { program: shown.clone(), cause };
    let mut command = std::process::Command::new(&shown);
    command.args(launch.command.iter().skip(1)).env_clear().envs(&launch.env);
    command.current_dir(if launch.base.is_dir() { &launch.base } else { Path::new("/") });
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Guarded as soon as it is there: whoever gives up waiting leaves nothing behind.
    let started = tokio::task::spawn_blocking(move || {
        let mut child = bound::spawn(command)?;
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        Ok((watch(child)?, streams))
    });
    let (process, streams) = started.await.map_err(io::Error::other).and_then(|started| started).map_err(fail)?;
    let (Some(stdin), Some(stdout), Some(stderr)) = streams else { return Err(fail(io::ErrorKind::BrokenPipe.into())) };
    let streams = Streams {
        stdin: pipe::Sender::from_owned_fd(stdin.into()).map_err(fail)?,
        stdout: pipe::Receiver::from_owned_fd(stdout.into()).map_err(fail)?,
        stderr: pipe::Receiver::from_owned_fd(stderr.into()).map_err(fail)?,
    };
    Ok((process, streams))
}

/// Has a thread of its own wait for the end: it sleeps in the kernel meanwhile.
fn watch(mut child: Child) -> io::Result<Process> {
    let (sender, ended) = watch::channel(false);
    let pid = rustix::process::Pid::from_child(&child);
    let watching = pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from).and_then(|fd| {
        std::thread::Builder::new().name("plugin-end".into()).spawn(move || {
            while let Ok(0) | Err(Errno::INTR) = poll(&mut [PollFd::new(&fd, PollFlags::IN)], None) {}
            sender.send_replace(true);
        })
    });
    match watching {
        Ok(_thread) => Ok(Process { child, ended, reaped: false }),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

impl Process {
    /// Its number, also of its group.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Waits until it has ended; it is not reaped, so its number stays taken.
    pub async fn ended(&self) {
        // A thread that is gone without a word cannot tell; whoever waits has a limit then.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }

    /// Waits for its end, at most so long; says whether it has ended.
    pub async fn ended_within(&self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.ended()).await.is_ok()
    }

    /// Sends a signal to it and its group.
    pub fn signal(&self, signal: Signal) {
        if !self.reaped {
            // Not reaped: the number of the group cannot be another's.
            let _ = signal::send_group(self.pid(), signal);
        }
    }

    /// Kills what is left of its group and takes its end, in words.
    pub async fn finish(mut self) -> String {
        self.signal(Signal::KILL);
        if !self.ended_within(super::KILL_LIMIT).await {
            return format!("its process {} does not end", self.pid());
        }
        self.reaped = true;
        match self.child.wait() {
            Ok(status) => words(status),
            Err(error) => format!("its end cannot be told: {error}"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        self.signal(Signal::KILL);
        // A killed process ends at once unless it is stuck in the kernel; then it is left to init.
        for _ in 0..100 {
            match reap::peek(self.pid()) {
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                _ => break,
            }
        }
        let _ = self.child.try_wait();
    }
}

fn words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it exited with {code}"),
        (None, Some(number)) => format!("it was ended by {}", signal::name(number)),
        (None, None) => "it ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_second_try_changes_is_a_refusal() {
        for (number, is_refusal) in [
            (Errno::NOENT, true),
            (Errno::ACCESS, true),
            (Errno::NOEXEC, true),
            (Errno::MFILE, false),
            (Errno::NOMEM, false),
        ] {
            let why = Unstarted { program: "p".into(), cause: number.into() };
            assert_eq!(why.is_refusal(), is_refusal, "{why}");
        }
        assert!(!Unstarted { program: "p".into(), cause: io::Error::other("gone") }.is_refusal());
    }

    #[test]
    fn what_agents_can_write_is_named_and_not_looked_up() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        for name in ["plugin.py", "python3"] {
            std::fs::write(base.join(name), "").unwrap();
        }
        let path = format!("{}:/usr/bin", base.display());
        let operator = BTreeMap::from([("PATH".to_owned(), path), ("HOME".to_owned(), "/home/of/mine".to_owned())]);
        let launch = |command: &[&str]| {
            let command: Vec<String> = command.iter().map(|&part| part.to_owned()).collect();
            Launch::new(&command, &base, &operator, "pool")
        };
        assert_eq!(launch(&["python3"]).env["PATH"], "/usr/bin");
        assert_eq!(launch(&["python3", "-q"]).writable(), None);
        assert_eq!(launch(&["python3", "plugin.py"]).writable(), Some(base.join("plugin.py")));
        assert!(launch(&["./plugin.py"]).caution().is_some_and(|check| check.message.contains("plugin.py lies in")));
        assert_eq!(launch(&["/bin/sh", "plugin.sh"]).writable(), None);
    }

    #[test]
    fn programs_are_found_from_the_base_and_little_is_passed() {
        let operator: BTreeMap<String, String> = [("PATH", "/bin"), ("HOME", "/h"), ("TOKEN", "hidden")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        for (program, expected) in [("./p", "/b/./p"), ("/x/p", "/x/p"), ("~/p", "/h/p"), ("p", "p")] {
            let launch = Launch::new(&[program.into(), "./arg".into()], Path::new("/b"), &operator, "pool");
            assert_eq!(launch.command, [expected, "./arg"]);
            let names: Vec<&String> = launch.env.keys().collect();
            assert_eq!(names, ["HOME", "PATH", "WHARF_PLUGIN", "WHARF_PLUGIN_API"]);
        }
    }
}
