//! `wharf target plugin`: the command of this machine that stands for one that runs in a plugin's place.
//!
//! It has an instance of the plugin of its own, so that a run outlives the console. It writes what the command
//! writes, ends as the command ends, and has the command end when it is asked to end itself.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::execution::{Command, Ended, Sink, follow};
use super::message::{LINE_MAX, STDIN_MAX};
use super::process::Launch;
use crate::environment::secrets::Resolved;
use crate::environment::target::GRACE_VARIABLE;
use crate::process::bound;

/// Exit code of a command that could not be run, or of whose end nothing is known.
pub const CANNOT: u8 = 125;
/// Time that the command has to end when this one is asked to.
const GRACE: Duration = Duration::from_secs(5);

/// What this command must know and no argument may hold: it comes in the first line of its input.
#[derive(Clone, Serialize, Deserialize)]
pub struct Block {
    /// How the plugin is started.
    pub launch: Launch,
    /// Which of its drivers.
    pub driver: String,
    /// Its config, secrets and all.
    pub config: Value,
    /// The values of those secrets.
    pub secrets: Vec<String>,
    /// The plugin's own directory.
    pub state: PathBuf,
    /// The lease.
    pub lease: Value,
    /// What the plugin said of the target.
    pub target: Value,
    /// Time that one call may take, milliseconds.
    pub timeout_ms: u64,
}

#[derive(Deserialize)]
struct FirstLine {
    env: BTreeMap<String, String>,
    target: Block,
}

/// This command's own output; a reader that is slow holds up what is written, and nothing else.
struct Standard;

impl Sink for Standard {
    async fn take(&mut self, is_stderr: bool, bytes: &[u8]) -> io::Result<()> {
        let bytes = bytes.to_vec();
        let written = tokio::task::spawn_blocking(move || {
            if is_stderr {
                return io::stderr().lock().write_all(&bytes);
            }
            let mut out = io::stdout().lock();
            out.write_all(&bytes).and_then(|()| out.flush())
        });
        written.await.map_err(io::Error::other)?
    }
}

/// Runs a command in a place; the exit code is the command's.
pub fn main(cwd: String, argv: Vec<String>) -> u8 {
    let (first, stdin) = match read_input() {
        Ok(read) => read,
        Err(words) => return cannot(&words),
    };
    let FirstLine { env, target } = first;
    let tag = env.get("WHARF_TAG").cloned().unwrap_or_default();
    let execution_id = Uuid::now_v7().hyphenated().to_string();
    let command = Command { execution_id, tag, argv, cwd, env, stdin };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cannot(&format!("its runtime cannot be made: {error}")),
    };
    let ended = runtime.block_on(run(&target, &command));
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ended {
        Ok(Ended::Code(code)) => code,
        Ok(Ended::Signal(number)) => bound::end_by(number),
        Err(words) => cannot(&Resolved::told(Value::Null, &target.secrets).redact(&words)),
    }
}

async fn run(block: &Block, command: &Command) -> Result<Ended, String> {
    let listen = |kind| signal(kind).map_err(|e| format!("its signals cannot be heard: {e}"));
    let mut heard = [listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?, listen(SignalKind::hangup())?];
    let (sender, mut stops) = mpsc::channel(4);
    tokio::spawn(async move {
        let [terminate, interrupt, hangup] = &mut heard;
        let mut grace = told_grace().unwrap_or(GRACE);
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {}
            }
            if sender.send(grace).await.is_err() {
                return;
            }
            // Whoever asks again does not want to wait.
            grace = Duration::ZERO;
        }
    });
    follow(block, command, &mut Standard, &mut stops).await
}

/// The grace that whoever started this gives what it follows.
fn told_grace() -> Option<Duration> {
    std::env::var(GRACE_VARIABLE).ok()?.parse().ok().map(Duration::from_millis)
}

fn read_input() -> Result<(FirstLine, Vec<u8>), String> {
    let broken = |e: io::Error| format!("its input cannot be read: {e}");
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    (&mut input).take(LINE_MAX as u64).read_until(b'\n', &mut line).map_err(broken)?;
    // What is wrong in it is not told: it may hold secrets.
    let first = serde_json::from_slice(&line)
        .map_err(|e| format!("the first line of its input is not that of a target (column {})", e.column()))?;
    let mut stdin = Vec::new();
    input.take(STDIN_MAX as u64 + 1).read_to_end(&mut stdin).map_err(broken)?;
    if stdin.len() > STDIN_MAX {
        return Err(format!(
            "the command's input is longer than {STDIN_MAX} bytes, which is the most that a plugin takes"
        ));
    }
    Ok((first, stdin))
}

fn cannot(words: &str) -> u8 {
    // Nobody may be reading.
    let _gone = writeln!(io::stderr().lock(), "wharf: {words}");
    CANNOT
}
