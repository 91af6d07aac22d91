//! An orchestrator without a screen, started in the place of the console that ends.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::dispatch::election;

/// How long it may take to hold the lock.
const LIMIT: Duration = Duration::from_secs(5);
/// How often it is looked whether it does.
const LOOK: Duration = Duration::from_millis(10);

/// Starts `wharf serve --until-idle` outside the terminal's session, once this process has given the
/// lock back. Gives the process that orchestrates then: the new one, or another that was quicker.
///
/// # Errors
/// Nobody orchestrates, and why, in words.
pub fn start(data: &Path) -> Result<i32, String> {
    let data = std::path::absolute(data).map_err(|e| format!("{}: {e}", data.display()))?;
    // The path of the running program may have been replaced or deleted by an upgrade.
    let mut child = Command::new("/proc/self/exe")
        .arg0("wharf")
        .args(["serve", "--until-idle", "--detached", "--data-dir"])
        .arg(&data)
        // No directory of a project is kept from being removed.
        .current_dir(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("`wharf serve` cannot be started: {e}"))?;
    let own = std::process::id().cast_signed();
    let until = Instant::now() + LIMIT;
    loop {
        let holder = election::holder(&data).map_err(|e| format!("the orchestrator's lock cannot be read: {e}"))?;
        let ended = child.try_wait().ok().flatten();
        // What stands in the file is of the one before until the new holder has written.
        if let Some(Some(holder)) = holder
            && holder.pid != own
            && (holder.epoch > 0 || ended.is_some())
        {
            return Ok(holder.pid);
        }
        if let Some(status) = ended {
            // One that found nothing left to do is well as well.
            return if status.success() {
                Ok(child.id().cast_signed())
            } else {
                Err(format!("`wharf serve` has ended at once, {status}; its log is in {}/log", data.display()))
            };
        }
        if Instant::now() >= until {
            return Err(format!(
                "`wharf serve` does not orchestrate after {LIMIT:?}; its log is in {}/log",
                data.display()
            ));
        }
        std::thread::sleep(LOOK);
    }
}
