//! Short commands of ours on this machine: clean environment, bounded output, nothing left when dropped.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use crate::environment::{Site, search};

/// Bytes of each stream that are kept; the rest is read and thrown away.
const OUTPUT_MAX: usize = 4 << 20;

/// What a command said.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// Its exit code; 128 and the signal's number when one ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Whether it ended well.
    pub fn ok(&self) -> bool {
        self.code == 0
    }

    /// The first line that says something, errors first.
    pub fn line(&self) -> String {
        let lines = self.err.lines().chain(self.out.lines());
        let first = lines.map(str::trim).find(|line| !line.is_empty());
        first.map_or_else(|| format!("exit code {}", self.code), |line| line.chars().take(400).collect())
    }
}

/// Finds a program on the operator's path, outside of the site's checkout.
pub fn find(site: &Site, name: &str) -> Option<PathBuf> {
    search::directories(&site.operator, &site.base)
        .into_iter()
        .map(|dir| dir.join(name))
        .find(|file| file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok())
}

/// Runs a command to its end. Dropped, it ends the command and whatever stayed in its group.
///
/// # Errors
/// In words: why it could not be run.
pub async fn run(argv: &[String], env: &BTreeMap<String, String>, stdin: Option<&str>) -> Result<Said, String> {
    spawned(argv, env, stdin, true).await
}

/// [`run`] of a command that is not ended when this is dropped: one that would leave half of what it makes.
///
/// # Errors
/// In words: why it could not be run.
pub async fn run_whole(argv: &[String], env: &BTreeMap<String, String>) -> Result<Said, String> {
    spawned(argv, env, None, false).await
}

async fn spawned(
    argv: &[String],
    env: &BTreeMap<String, String>,
    stdin: Option<&str>,
    ends_when_dropped: bool,
) -> Result<Said, String> {
    let (program, arguments) = argv.split_first().ok_or("no command")?;
    let failed = |error: std::io::Error| format!("{program} cannot be run: {error}");
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(env)
        .current_dir("/")
        .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(ends_when_dropped)
        .spawn()
        .map_err(failed)?;
    let leader = child.id().filter(|_| ends_when_dropped);
    let mut group = Group(leader.and_then(|id| rustix::process::Pid::from_raw(id as i32)));
    if let (Some(text), Some(mut pipe)) = (stdin, child.stdin.take()) {
        // One that does not read it says so by its exit code.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut pipe, text.as_bytes()).await;
    }
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (out, err, status) = tokio::join!(bounded(out), bounded(err), child.wait());
    let status = status.map_err(failed)?;
    // Its number may be another's from now on.
    group.0 = None;
    let code = status.code().or_else(|| std::os::unix::process::ExitStatusExt::signal(&status).map(|n| 128 + n));
    Ok(Said { code: code.unwrap_or(-1), out, err })
}

/// A process group that ends when this is dropped.
struct Group(Option<rustix::process::Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // Not yet waited for, so the number is still its own.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

async fn bounded(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut pipe) = pipe else { return String::new() };
    let (mut kept, mut buffer) = (Vec::new(), vec![0_u8; 16 * 1024]);
    while let Ok(n) = pipe.read(&mut buffer).await {
        if n == 0 {
            break;
        }
        let room = OUTPUT_MAX.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..n.min(room)]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}
