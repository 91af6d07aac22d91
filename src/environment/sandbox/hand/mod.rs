//! What of this program stands between a shim and a command in a sandbox: hidden subcommands.
//!
//! `enter` turns into bubblewrap and `begin`, inside, into the command: neither stays. bubblewrap ignores what
//! asks a program to end, so that it ends with the command and by nothing else; `begin` gives the command back
//! what it should do on it. `container` stays beside the engine's `exec`, and carries such signals inside.

mod begin;
mod container;
mod enter;

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// First argument of the hidden subcommands.
pub const NAME: &str = "sandbox-hand";
/// Outside, before bubblewrap.
pub const ENTER: &str = "enter";
/// Inside, before the command.
pub const BEGIN: &str = "begin";
/// Outside, around the engine's `exec`.
pub const CONTAINER: &str = "container";

/// Variable that tells `container` what of its environment is for the engine: JSON, the operator's own values.
pub const ENGINE_ENV: &str = "WHARF_ENGINE_ENV";

/// The command could not be run, is not executable, was not found: as shells say it.
const CANNOT: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// The words that call one of them.
pub fn words(program: &str, hand: &str) -> Vec<String> {
    vec![program.to_owned(), NAME.to_owned(), hand.to_owned()]
}

/// Runs the one that is named; the answer is an exit code.
pub fn main(mut arguments: impl Iterator<Item = OsString>) -> u8 {
    let hand = arguments.next().and_then(|word| word.into_string().ok()).unwrap_or_default();
    let words: Result<Vec<String>, OsString> = arguments.map(OsString::into_string).collect();
    let outcome = match (hand.as_str(), words) {
        (_, Err(word)) => Err((CANNOT, format!("{} is no UTF-8", word.display()))),
        (ENTER, Ok(words)) => enter::run(words),
        (BEGIN, Ok(words)) => begin::run(words),
        (CONTAINER, Ok(words)) => container::run(words),
        (other, Ok(_)) => Err((CANNOT, format!("there is no {NAME} {other:?}"))),
    };
    outcome.unwrap_or_else(|(code, message)| {
        let _ = writeln!(std::io::stderr(), "wharf: {message}");
        code
    })
}

type Outcome = Result<u8, (u8, String)>;

fn cannot(message: impl Into<String>) -> (u8, String) {
    (CANNOT, message.into())
}

/// Own options up to the first `--`, and the words behind it.
fn split(words: Vec<String>) -> Result<(Vec<String>, Vec<String>), (u8, String)> {
    let at = words.iter().position(|word| word == "--").ok_or_else(|| cannot("there is no -- before the command"))?;
    let mut own = words;
    let mut rest = own.split_off(at);
    rest.remove(0);
    if rest.is_empty() { Err(cannot("there is no command behind --")) } else { Ok((own, rest)) }
}

/// Turns into another program; comes back only when that cannot be.
fn become_program(words: &[String]) -> Outcome {
    let Some((program, arguments)) = words.split_first() else { return Err(cannot("no command")) };
    let error = Command::new(program).args(arguments).exec();
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => NOT_FOUND,
        std::io::ErrorKind::PermissionDenied => NOT_EXECUTABLE,
        _ => CANNOT,
    };
    Err((code, format!("{program} cannot be run in the sandbox: {error}")))
}
