//! What stands before a command that runs in a place ends with a code of its own when there is no end of the command to
//! pass on. It says so in its last line of standard error, and that is no failure of the agent.

use wharf_model::shim::{ExitFrame, SpawnError};

use super::place::Venue;

/// Its exit code then.
const NOT_RUN: i32 = 125;
/// How its last line begins when the command was not started (`environment/transport/target.rs`).
const NOT_STARTED: &str = "the command was not started: ";
/// How it begins when the command is over and nobody saw its end.
const UNSEEN: &str = "the command is over and its end was not seen: ";
/// What stands before either.
const BY: &str = "wharf: ";

/// What the end of a run in a place was.
#[derive(Debug, PartialEq)]
pub enum Told {
    /// That of its command.
    End(Box<ExitFrame>),
    /// Its command is over, and nobody knows how it ended: why.
    Unseen(String),
}

/// Tells the end of a command from that of what followed it, by the last of its standard error.
pub fn told(venue: &Venue, mut exit: Box<ExitFrame>, stderr: Option<&str>) -> Told {
    let carries = matches!(venue, Venue::There(there) if !there.shares_files());
    if !carries || exit.code != Some(NOT_RUN) {
        return Told::End(exit);
    }
    let last = stderr.unwrap_or_default().trim_end().lines().next_back().unwrap_or_default();
    // The command may have ended in the middle of a line.
    let after = |words: &str| last.rfind(&format!("{BY}{words}")).map(|at| &last[at + BY.len() + words.len()..]);
    if let Some(why) = after(UNSEEN) {
        return Told::Unseen(format!("{UNSEEN}{why}"));
    }
    if let Some(why) = after(NOT_STARTED) {
        let (code, message) = ("transport_resolution_failed".to_owned(), format!("{NOT_STARTED}{why}"));
        exit.code = None;
        exit.spawn_error = Some(SpawnError { code, message, errno: None });
    }
    Told::End(exit)
}

/// What is to be said where something of a run lived on when its command was killed here: perhaps only what followed it
/// was.
pub fn unfollowed(venue: &Venue, exit: &ExitFrame) -> Option<String> {
    let asked = exit.stop.as_ref().is_some_and(|stop| stop.delivered);
    match venue {
        Venue::There(there) if !there.shares_files() && !asked => exit.signal.as_ref().map(|signal| {
            let name = &there.name;
            format!(
                "if it was the process here that follows its command in {name} that {signal} ended, what the command \
                 printed since is not in the log: it stayed in {name}"
            )
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
