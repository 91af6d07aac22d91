//! One short command in a place, as a child of this process: bounded in time and output, nothing of it left here.

use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::environment::target::Wrapped;

/// Most bytes of each stream that are kept; a command that writes more is cut off.
const OUTPUT_MAX_BYTES: u64 = 64 * 1024;

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit code or signal.
    pub status: ExitStatus,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
    /// Time it took.
    pub took: Duration,
}

/// The child's group, which ends with this unless the child was waited for.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.take() {
            // Its child was not waited for, so the number cannot be another's yet.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs a command to its end.
///
/// # Errors
/// In words: it cannot be started, or takes longer than this.
pub async fn run(wrapped: &Wrapped, limit: Duration) -> Result<Ran, String> {
    let Some((program, args)) = wrapped.argv.split_first() else { return Err("there is no command".into()) };
    let began = Instant::now();
    let mut command = Command::new(program);
    command
        .args(args)
        .current_dir(&wrapped.cwd)
        .env_clear()
        .envs(&wrapped.env)
        .stdin(if wrapped.first_line.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|e| format!("{program} cannot be started: {e}"))?;
    let mut group = Group(child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())));
    match tokio::time::timeout(limit, to_the_end(&mut child, wrapped.first_line.as_deref())).await {
        Ok(Ok((status, out, err))) => {
            group.0 = None;
            Ok(Ran { status, out, err, took: began.elapsed() })
        }
        Ok(Err(error)) => Err(format!("{program}: {error}")),
        Err(_) => Err(format!("{program} did not end within {} s", limit.as_secs())),
    }
}

async fn to_the_end(child: &mut Child, first_line: Option<&str>) -> std::io::Result<(ExitStatus, String, String)> {
    let (stdin, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async move {
        if let (Some(mut stdin), Some(line)) = (stdin, first_line) {
            // One that does not read it says why by how it ends.
            let _ = stdin.write_all(line.as_bytes()).await;
        }
    };
    let ((), out, err) = tokio::join!(feed, read(out), read(err));
    Ok((child.wait().await?, out?, err?))
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(OUTPUT_MAX_BYTES).read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn sh(script: &str, first_line: Option<&str>) -> Wrapped {
        Wrapped {
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            cwd: "/".into(),
            env: BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]),
            first_line: first_line.map(str::to_owned),
        }
    }

    #[tokio::test]
    async fn a_command_ends_with_its_output_and_within_its_bounds() {
        let limit = Duration::from_secs(20);
        let ran =
            run(&sh("read -r line; echo \"<$line>\"; echo why >&2; exit 3", Some("told\n")), limit).await.unwrap();
        assert_eq!((ran.status.code(), ran.out.as_str(), ran.err.as_str()), (Some(3), "<told>\n", "why\n"));
        // Cut off: whoever floods is ended by what it writes.
        let ran = run(&sh("exec yes", None), limit).await.unwrap();
        assert_eq!(ran.status.signal(), Some(13));
        assert_eq!(ran.out.len() as u64, OUTPUT_MAX_BYTES);
        let missing = Wrapped { argv: vec!["/no/such/program".into()], ..sh("", None) };
        assert!(run(&missing, limit).await.unwrap_err().contains("/no/such/program cannot be started"));
    }

    #[tokio::test]
    async fn one_that_does_not_end_is_ended_with_all_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 60 & echo $! > {}; wait", file.display());
        let late = run(&sh(&script, None), Duration::from_millis(500)).await.unwrap_err();
        assert!(late.contains("did not end within"), "{late}");
        let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let gone = async {
            while crate::process::identity::process(pid).unwrap().is_some() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
    }
}
