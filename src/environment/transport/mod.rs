//! The far half of a place that a command prefix reaches: `ssh … host`, or any other that runs `sh` there and
//! passes standard input and output.
//!
//! Nothing of ours is installed there: everything is a POSIX script that comes over standard input, with `/proc`,
//! `setsid` and, for workspaces, git.

pub mod follow;
pub mod place;
mod reply;
pub mod script;
pub mod target;
#[cfg(test)]
mod tests;
pub mod workspace;

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::driver::Answer;
pub use reply::{Reply, last_line};

/// Most bytes that a script may say on standard output when they are kept.
const SAID_MAX: u64 = 64 << 20;
/// Most bytes of its standard error that are kept.
const ERROR_MAX: u64 = 64 << 10;

/// Time that a prefix has to say why, when its output ended without a word.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Functions that every script about processes has.
pub(crate) const TREE: &str = include_str!("scripts/tree.sh");

/// Why something could not be done there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Asking again changes nothing until somebody does what it says.
    #[error("{0}")]
    Refused(String),
    /// No answer, or none that can be understood.
    #[error("{0}")]
    Unknown(String),
}

impl Trouble {
    /// The same with more words.
    #[must_use]
    pub fn and(self, more: &str) -> Self {
        match self {
            Self::Refused(words) => Self::Refused(format!("{words}; {more}")),
            Self::Unknown(words) => Self::Unknown(format!("{words}; {more}")),
        }
    }

    /// As a driver says it; a refusal with this code.
    pub fn answer<T>(self, code: &str) -> Answer<T> {
        match self {
            Self::Refused(hint) => Answer::refused(code, hint),
            Self::Unknown(evidence) => Answer::unknown(evidence),
        }
    }
}

/// Turns what a prefix said on standard error into words: its text and what it reaches.
pub type Explain = fn(&str, &str) -> Trouble;

/// A command prefix and what it needs. Plain data, so that it can be told to another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefix {
    /// Program and arguments before the command.
    pub argv: Vec<String>,
    /// Whether the far side puts the words behind them together and gives them to a shell, as ssh does.
    pub joins: bool,
    /// Environment of the prefix; nothing else is inherited.
    pub env: BTreeMap<String, String>,
    /// What it reaches, for people.
    pub name: String,
}

/// A way to run scripts there.
#[derive(Debug, Clone)]
pub struct Remote {
    prefix: Prefix,
    explain: Explain,
}

/// A script that runs there. Ended on this machine when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Its input, behind the script.
    pub stdin: Option<ChildStdin>,
    /// Its output, from [`script::BEGIN`] on.
    pub stdout: Option<ChildStdout>,
}

impl Remote {
    /// A way through this prefix.
    pub fn new(prefix: Prefix, explain: Explain) -> Self {
        Self { prefix, explain }
    }

    /// What it reaches, for people.
    pub fn name(&self) -> &str {
        &self.prefix.name
    }

    /// The prefix.
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// What the prefix said, in words.
    pub fn explain(&self, stderr: &str) -> Trouble {
        (self.explain)(stderr, &self.prefix.name)
    }

    fn command(&self) -> Command {
        let mut words = self.prefix.argv.clone();
        if self.prefix.joins {
            words.push(format!("exec sh -c '{}'", script::BOOT));
        } else {
            words.extend(["sh", "-c", script::BOOT].map(str::to_owned));
        }
        let mut command = Command::new(words.first().map_or("ssh", String::as_str));
        command
            .args(words.get(1..).unwrap_or_default())
            .env_clear()
            .envs(&self.prefix.env)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A signal for our own group is not meant for the connection.
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    fn cannot_start(&self, error: &std::io::Error) -> Trouble {
        let program = self.prefix.argv.first().map_or("", String::as_str);
        if error.kind() == std::io::ErrorKind::NotFound {
            Trouble::Refused(format!("there is no {program} on this machine; install it"))
        } else {
            Trouble::Unknown(format!("{program} cannot be started: {error}"))
        }
    }

    /// Starts a script and waits until it has begun there.
    pub async fn start(&self, parts: &[&str], args: &[&str]) -> Result<Running, Trouble> {
        let mut child = self.command().spawn().map_err(|e| self.cannot_start(&e))?;
        let (Some(mut stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Trouble::Unknown("the command prefix has no pipes".into()));
        };
        // One that cannot take the script says why on its standard error.
        let _broken = stdin.write_all(&script::encode(parts, args)).await;
        if begins(&mut stdout).await {
            return Ok(Running { child, stdin: Some(stdin), stdout: Some(stdout) });
        }
        drop(stdin);
        let mut said = Vec::new();
        if let Some(stderr) = child.stderr.take() {
            let mut stderr = stderr.take(ERROR_MAX);
            // One that goes on although its output ended is not waited for, nor is what it started.
            let words = tokio::time::timeout(LAST_WORDS, stderr.read_to_end(&mut said));
            if words.await.is_err() {
                let _ended = child.start_kill();
                let _rest = tokio::time::timeout(LAST_WORDS, stderr.read_to_end(&mut said)).await;
            }
        }
        Err(self.explain(&String::from_utf8_lossy(&said)))
    }

    /// Runs a script to its end with this input. A connection that breaks off in between is [`Trouble::Unknown`].
    pub async fn run(&self, parts: &[&str], args: &[&str], input: &[u8]) -> Result<Reply, Trouble> {
        let mut running = self.start(parts, args).await?;
        let stdin = running.stdin.take();
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A script that does not read it ends, and says why.
                let _broken = stdin.write_all(input).await;
                let _broken = stdin.shutdown().await;
            }
        };
        let (reply, ()) = tokio::join!(running.finish(), feed);
        let reply = reply?;
        // What the prefix says itself when it breaks off.
        if reply.code == 255 || reply.code < 0 {
            return Err(match self.explain(&reply.err) {
                Trouble::Refused(words) | Trouble::Unknown(words) => Trouble::Unknown(words),
            });
        }
        Ok(reply)
    }
}

impl Running {
    /// Reads it to its end.
    pub async fn finish(mut self) -> Result<Reply, Trouble> {
        let mut out = Vec::new();
        let mut err = Vec::new();
        let stderr = self.child.stderr.take();
        let errors = async {
            if let Some(stderr) = stderr {
                drain(stderr, &mut err, ERROR_MAX).await;
            }
        };
        let stdout = self.stdout.take();
        let output = async {
            match stdout {
                Some(stdout) => drain(stdout, &mut out, SAID_MAX).await,
                None => true,
            }
        };
        let (whole, ()) = tokio::join!(output, errors);
        let status = self.child.wait().await.map_err(|e| Trouble::Unknown(e.to_string()))?;
        if !whole {
            return Err(Trouble::Unknown(format!("it said more than {SAID_MAX} bytes")));
        }
        Ok(Reply { code: status.code().unwrap_or(-1), out, err: String::from_utf8_lossy(&err).into_owned() })
    }
}

/// A pause that grows, for those who try until it works.
pub fn pause(attempt: u32) -> Duration {
    Duration::from_millis(250 << attempt.min(5))
}

/// Reads on until the script has begun; false at the end of the stream.
async fn begins(stdout: &mut ChildStdout) -> bool {
    let mut line = Vec::new();
    let mut seen = 0u32;
    while let Ok(byte) = stdout.read_u8().await {
        seen += 1;
        if byte != b'\n' {
            line.push(byte);
        } else if line.ends_with(script::BEGIN.as_bytes()) {
            return true;
        } else {
            line.clear();
        }
        if seen > 1 << 20 {
            return false;
        }
    }
    false
}

/// Reads a stream to its end and keeps this much of it; false when there was more.
async fn drain(mut from: impl AsyncRead + Unpin, into: &mut Vec<u8>, most: u64) -> bool {
    let mut whole = true;
    let mut chunk = vec![0u8; 32 * 1024];
    while let Ok(n) = from.read(&mut chunk).await {
        if n == 0 {
            break;
        }
        if into.len() as u64 + n as u64 <= most {
            into.extend_from_slice(&chunk[..n]);
        } else {
            whole = false;
        }
    }
    whole
}
