//! Running the git binary for what takes milliseconds: deleting a branch, making an entry without a checkout. What
//! takes longer is run under a shim by the caller.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::keep_error::KeepError;
use super::worktree::CommandSpec;
use crate::process::bound;

/// Longest time of one; a lock of git's may be waited for.
const LIMIT: Duration = Duration::from_mins(1);
/// Most bytes that are read of what it says.
const SAID_MAX: u64 = 16 * 1024;

/// Runs a command to its end. What it says on failure is in the error.
pub(crate) fn run(spec: &CommandSpec) -> Result<(), KeepError> {
    let failed = |message: String| KeepError::Command { command: spec.display(), path: spec.cwd.clone(), message };
    let (program, args) = spec.argv.split_first().ok_or_else(|| failed("it is empty".to_owned()))?;
    let mut command = Command::new(program);
    command.args(args).current_dir(&spec.cwd).env_clear().envs(&spec.env);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = bound::spawn(command).map_err(|e| failed(format!("it cannot be started: {e}")))?;
    let said = child.stderr.take().map(|pipe| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = pipe.take(SAID_MAX).read_to_end(&mut text);
            String::from_utf8_lossy(&text).trim().to_owned()
        })
    });
    let until = Instant::now() + LIMIT;
    let mut pause = Duration::from_millis(1);
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|e| failed(e.to_string()))? {
            break status;
        }
        if Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            return Err(failed(format!("it did not end within {} s", LIMIT.as_secs())));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    if status.success() {
        return Ok(());
    }
    let said = said.and_then(|reader| reader.join().ok()).filter(|s| !s.is_empty());
    Err(failed(said.unwrap_or_else(|| status.to_string())))
}
