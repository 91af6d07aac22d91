//! `wharf target ssh`, hidden: what stands before a command that runs elsewhere, and behaves like that command.

use std::io::{self, Read as _, Write as _};

use super::Explain;
use super::follow::{self, End, Input, Outcome, Told};
use crate::process::signal;

/// Exit code of a command that could not be started, or whose end nobody saw.
const NOT_RUN: u8 = 125;
/// Longest first line: variables, and where to go.
const LINE_MAX: usize = 8 << 20;

/// Runs a command in a directory there, to its end; returns its exit code, or ends this process by a signal.
pub fn main(cwd: &str, argv: &[String], explain: Explain) -> u8 {
    match run(cwd, argv, explain) {
        Ok(code) => code,
        Err(why) => {
            // Nobody may be reading.
            let _gone = writeln!(io::stderr(), "wharf: {why}");
            NOT_RUN
        }
    }
}

fn run(cwd: &str, argv: &[String], explain: Explain) -> Result<u8, String> {
    let told: Told = serde_json::from_slice(&first_line()?)
        // Its words may quote what must not be shown.
        .map_err(|e| format!("the first line of its input does not read, column {}", e.column()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| format!("cannot begin: {e}"))?;
    let outcome = runtime
        .block_on(async { follow::follow(told, cwd, argv, Input::begin().await, explain).await })
        .map_err(|e| format!("signals cannot be received: {e}"))?;
    // What is still being tried is of no use to anyone.
    runtime.shutdown_background();
    match outcome {
        Outcome::Ended(End::Code(code)) => Ok(code),
        Outcome::Ended(End::Signal(number)) => Ok(signal::end_by(number)),
        Outcome::NotStarted(None) => Ok(signal::end_by(signal::Signal::TERM.as_raw())),
        Outcome::NotStarted(Some(why)) => Err(format!("the command was not started: {why}")),
        Outcome::Lost(why) => Err(format!("the command is over and its end was not seen: {why}")),
        Outcome::Unread => Ok(NOT_RUN),
    }
}

/// Reads up to the first line end and no byte further.
fn first_line() -> Result<Vec<u8>, String> {
    let mut stdin = io::stdin().lock();
    let mut line = Vec::new();
    // The buffer behind this handle keeps what follows for the next read.
    loop {
        let mut byte = [0u8];
        match stdin.read(&mut byte) {
            Ok(0) => return Err("its input ends before the first line does".to_owned()),
            Ok(_) if byte[0] == b'\n' => return Ok(line),
            Ok(_) if line.len() >= LINE_MAX => return Err("the first line of its input is too long".to_owned()),
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("cannot read its input: {error}")),
        }
    }
}
