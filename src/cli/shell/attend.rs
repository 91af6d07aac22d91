//! Starting the command that leads to a shell, and staying with it to its end.

use std::io::Write as _;
use std::process::{Child, Command, ExitStatus, Stdio};

use super::place::Place;
use crate::cli::error::{CliError, Result, exit};
use crate::environment::target::Wrapped;

/// Starts the command and waits for its end; keys that interrupt are its own.
pub async fn attend(place: &Place, wrapped: Wrapped) -> Result<ExitStatus> {
    let failed = |e: std::io::Error| {
        let program = wrapped.argv.first().cloned().unwrap_or_default();
        let code = if e.kind() == std::io::ErrorKind::NotFound { "command_not_found" } else { "exec_failed" };
        place.error(code, format!("{program}: {e}"))
    };
    let Some((program, args)) = wrapped.argv.split_first() else {
        return Err(place.error("internal", "the driver gives an empty command"));
    };
    // Heard, so that this process lives until the shell has ended; what it starts has the default again.
    let interrupts = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
    let mut command = Command::new(program);
    command.args(args).current_dir(&wrapped.cwd).env_clear().envs(&wrapped.env);
    if wrapped.first_line.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().map_err(failed)?;
    if let Some(line) = wrapped.first_line.clone() {
        feed(&mut child, line).map_err(failed)?;
    }
    let status = tokio::task::spawn_blocking(move || child.wait()).await;
    drop(interrupts);
    match status {
        Ok(status) => status.map_err(failed),
        Err(panic) => Err(CliError::internal("the shell cannot be waited for").cause(panic.to_string())),
    }
}

/// Gives the command its first line, then whatever comes on this process's own input.
fn feed(child: &mut Child, line: String) -> std::io::Result<()> {
    let Some(mut stdin) = child.stdin.take() else { return Ok(()) };
    std::thread::Builder::new().name("shell-input".into()).spawn(move || {
        // One that has ended already reads nothing: its exit says why.
        if stdin.write_all(line.as_bytes()).is_ok() {
            let _gone = std::io::copy(&mut std::io::stdin().lock(), &mut Unbuffered(stdin));
        }
    })?;
    Ok(())
}

/// Passes on what it is given at once.
struct Unbuffered<W>(W);

impl<W: std::io::Write> std::io::Write for Unbuffered<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.0.write(bytes)?;
        self.0.flush()?;
        Ok(n)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// The exit code of this program for the end of that.
pub fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|n| 128 + n)).unwrap_or(1);
    u8::try_from(code).unwrap_or(exit::INTERNAL)
}
