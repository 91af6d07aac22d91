//! One command there, followed from here: started once, read by offset, ended for real.
//!
//! What this process writes to its standard output and error is byte for byte what the command wrote. It outlives
//! every connection, and ends as the command did: with its code, or by its signal.

mod frames;
mod input;
mod remote_run;
mod streams;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Explain, Prefix, Remote, Trouble, pause};
pub use frames::End;
pub use input::Input;
use remote_run::{RemoteRun, Stop};

/// Time that a command has to end after it was asked, when nobody says.
const GRACE: Duration = Duration::from_secs(15);
/// Time in which a command must have been told to start; only as long as it is certain that it was not.
const START_LIMIT: Duration = Duration::from_mins(5);

/// What a follower is told in the first line of its input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    /// Variables of the command.
    pub env: BTreeMap<String, String>,
    /// Where it runs.
    pub target: Place,
}

/// Where a command runs: [`super::super::target::Target::block`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The directory of the lease there.
    pub dir: String,
    /// Ways to get there, in turn: each time one breaks off the next is tried.
    pub ways: Vec<Prefix>,
    /// Time between being asked and being killed, milliseconds.
    #[serde(default)]
    pub grace_ms: Option<u64>,
}

/// What a follower ends with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As the command did.
    Ended(End),
    /// The command was never started, and why not; none when that was asked.
    NotStarted(Option<String>),
    /// It is over and nobody saw how.
    Lost(String),
    /// Nobody reads any more what this process writes.
    Unread,
}

/// Name of a run's directory without its last part: what all runs of a tag begin with.
pub fn run_prefix(tag: &str) -> String {
    tag.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' }).collect()
}

/// Name of a run's directory: the same for the same tag and command.
pub fn run_name(tag: &str, cwd: &str, argv: &[String]) -> String {
    let mut hash = Sha256::new();
    for word in [cwd].into_iter().chain(argv.iter().map(String::as_str)) {
        hash.update(word.as_bytes());
        hash.update([0]);
    }
    let digest: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{}.{digest}", run_prefix(tag))
}

/// Follows a command to its end. `input` is what it reads.
///
/// # Errors
/// Signals cannot be received.
pub async fn follow(told: Told, cwd: &str, argv: &[String], input: Input, explain: Explain) -> io::Result<Outcome> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let (stop, stops) = tokio::sync::watch::channel(0u32);
    let heard = tokio::spawn(async move {
        loop {
            tokio::select! {
                Some(()) = term.recv() => {}
                Some(()) = int.recv() => {}
                else => return,
            }
            stop.send_modify(|times| *times = times.saturating_add(1));
        }
    });
    let tag = told.env.get("WHARF_TAG").cloned().unwrap_or_else(|| format!("alone-{}", uuid::Uuid::now_v7()));
    let run = RemoteRun {
        dir: told.target.dir.clone(),
        name: run_name(&tag, cwd, argv),
        tag,
        grace: told.target.grace_ms.map_or(GRACE, Duration::from_millis),
        ways: told.target.ways.iter().map(|way| Remote::new(way.clone(), explain)).collect(),
    };
    let outcome = whole(&run, &told.env, cwd, argv, input, stops).await;
    heard.abort();
    Ok(outcome)
}

async fn whole(
    run: &RemoteRun,
    env: &BTreeMap<String, String>,
    cwd: &str,
    argv: &[String],
    input: Input,
    mut stops: tokio::sync::watch::Receiver<u32>,
) -> Outcome {
    let began = tokio::time::Instant::now();
    let mut attempt = 0;
    let mut may_run = false;
    loop {
        let tried = tokio::select! {
            tried = run.start(attempt, env, cwd, argv, &input, &mut may_run) => tried,
            _ = stops.wait_for(|times| *times > 0) => break,
        };
        match tried {
            Ok(()) => break,
            Err(Trouble::Refused(why)) if !may_run => return Outcome::NotStarted(Some(why)),
            Err(why) if !may_run && began.elapsed() > START_LIMIT => {
                return Outcome::NotStarted(Some(why.to_string()));
            }
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(pause(attempt)) => {}
            _ = stops.wait_for(|times| *times > 0) => break,
        }
        attempt += 1;
    }
    if *stops.borrow() > 0 {
        if !may_run {
            return Outcome::NotStarted(None);
        }
        // It may have been started or not; told to stop, it is not started any more.
        run.stop_until_told(Stop::Ask).await;
    }
    let already = input.first.len() as u64;
    let reading = async {
        tokio::select! {
            outcome = streams::read(run) => outcome,
            () = input::pass_on(run, already, input.later) => Outcome::Unread,
        }
    };
    tokio::pin!(reading);
    tokio::select! {
        outcome = &mut reading => return outcome,
        _ = stops.wait_for(|times| *times > 0) => {}
    }
    // The command may end by itself meanwhile; then nothing is left to be told.
    tokio::select! {
        outcome = &mut reading => return outcome,
        () = run.stop_until_told(Stop::Ask) => {}
    }
    tokio::select! {
        outcome = &mut reading => return outcome,
        _ = stops.wait_for(|times| *times > 1) => {}
    }
    tokio::select! {
        outcome = &mut reading => return outcome,
        () = run.stop_until_told(Stop::Force) => {}
    }
    reading.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_one_name_and_no_other() {
        let argv = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let name = run_name("run/0190-a/1", "/w", &argv(&["a", "b"]));
        assert!(name.starts_with("run-0190-a-1."), "{name}");
        assert_eq!(name, run_name("run/0190-a/1", "/w", &argv(&["a", "b"])));
        assert_ne!(name, run_name("run/0190-a/1", "/w", &argv(&["a b"])));
        assert_ne!(name, run_name("run/0190-a/1", "/w/a", &argv(&["b"])));
        assert!(!run_prefix("../x y").contains(['/', ' ', '.']));
    }
}
