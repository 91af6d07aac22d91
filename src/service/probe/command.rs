//! A command as a check: in the service's directory, with its variables, for a moment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::{Miss, is_ours, no_answer, one_line};
use crate::process::brief::{self, End};
use crate::process::signal;

/// Exit code of a shell that finds no such program.
const UNKNOWN: i32 = 127;

/// What is run.
pub struct CommandProbe {
    /// Program and arguments, rendered.
    pub argv: Vec<String>,
    /// `argv` is one string for the service's shell.
    pub shell: bool,
    /// Directory of the service.
    pub cwd: PathBuf,
    /// Variables of the service.
    pub env: BTreeMap<String, String>,
    /// Values of secrets, starred out of what it says.
    pub redact: Vec<String>,
    /// Its own tag, by which whatever it leaves behind is found.
    pub tag: String,
    /// As shown.
    pub shown: String,
}

impl std::fmt::Debug for CommandProbe {
    /// Without the variables: they hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommandProbe").field("shown", &self.shown).field("tag", &self.tag).finish_non_exhaustive()
    }
}

impl CommandProbe {
    pub(super) fn run(&self, limit: Duration) -> Result<(), Miss> {
        let done = brief::run(self.command(), &self.tag, limit);
        let is_ours = matches!(&done.end, End::Failed(error) if is_ours(error));
        let is_final = self.is_unknown(&done.end);
        let how = match done.end {
            End::Code(0) => return Ok(()),
            End::Code(code) => format!("ended with {code}"),
            End::Signal(number) => format!("was killed by {}", signal::name(number)),
            End::TimedOut => format!("gave {} and was ended", no_answer(limit)),
            End::Failed(error) => format!("cannot be run: {error}"),
        };
        let said = one_line(&self.redacted(done.said));
        let colon = if said.is_empty() { "" } else { ": " };
        Err(Miss { words: format!("the check `{}` {how}{colon}{said}", self.shown), is_ours, is_final })
    }

    /// Whether there is no such program. One that is named by its path may still be made by what is just starting; one
    /// that is looked for on PATH is there or is not.
    fn is_unknown(&self, end: &End) -> bool {
        let program = self.argv.first().and_then(|line| line.split_whitespace().next()).unwrap_or_default();
        let missing = match end {
            End::Failed(error) => !self.shell && error.kind() == std::io::ErrorKind::NotFound && self.cwd.is_dir(),
            End::Code(code) => self.shell && *code == UNKNOWN,
            End::Signal(_) | End::TimedOut => false,
        };
        missing && !program.contains('/')
    }

    fn command(&self) -> Command {
        let mut command = if self.shell {
            let shell = self.env.get("SHELL").filter(|s| !s.is_empty()).map_or("/bin/sh", String::as_str);
            let mut command = Command::new(shell);
            command.arg("-c");
            command
        } else {
            // No argument at all is refused by the config.
            Command::new(self.argv.first().map_or("", String::as_str))
        };
        command.args(self.argv.iter().skip(usize::from(!self.shell)));
        command.current_dir(&self.cwd).env_clear().envs(&self.env);
        command
    }

    fn redacted(&self, mut said: String) -> String {
        for secret in self.redact.iter().filter(|s| s.len() >= 8) {
            said = said.replace(secret.as_str(), &"*".repeat(secret.len()));
        }
        said
    }
}
