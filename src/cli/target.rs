//! `wharf target`, hidden: what stands before a command that runs elsewhere, and behaves like that command.
//! Targets of environments name it, people never do.

use std::ffi::OsString;
use std::io::Write as _;

use crate::environment::{plugin, ssh, transport};

/// Exit code of a command that could not be started.
const NOT_RUN: u8 = 125;

/// Runs `wharf target KIND --cwd DIR -- COMMAND…`; returns its exit code, or ends this process by a signal.
pub fn main(arguments: impl Iterator<Item = OsString>) -> u8 {
    match run(arguments) {
        Ok(code) => code,
        Err(why) => {
            // Nobody may be reading.
            let _gone = writeln!(std::io::stderr(), "wharf: {why}");
            NOT_RUN
        }
    }
}

fn run(arguments: impl Iterator<Item = OsString>) -> Result<u8, String> {
    let mut words = Vec::new();
    for word in arguments {
        words.push(word.into_string().map_err(|word| format!("an argument is no text: {}", word.display()))?);
    }
    let (kind, cwd, argv) = match words.as_slice() {
        [kind, flag, cwd, end, argv @ ..] if flag == "--cwd" && end == "--" && !argv.is_empty() => (kind, cwd, argv),
        _ => return Err("use: wharf target KIND --cwd DIR -- COMMAND…".to_owned()),
    };
    match kind.as_str() {
        "ssh" => Ok(transport::target::main(cwd, argv, ssh::explain)),
        "plugin" => Ok(plugin::target::main(cwd.clone(), argv.to_vec())),
        kind => Err(format!("there is no target {kind}")),
    }
}
