//! How an operation ended: what is kept of it, and what is said when it failed.

use std::path::Path;

use wharf_model::OperationStatus;
use wharf_model::shim::ExitFrame;

use crate::dispatch::input::{OperationEnd, RunOutput};
use crate::run::output;

/// Most characters of its output that are kept beside the row.
const EXCERPT: usize = 4_096;
/// Most bytes of the last lines that are said with a failure.
const TAIL: usize = 600;
/// Most characters of one line that explains a failure.
const LINE: usize = 300;
/// Words by which a line is known that says what went wrong.
const EXPLAINS: &[&str] = &["error", "fatal", "fail", "cannot", "can't", "not found", "no such", "denied", "refused"];

/// What is said of an operation that failed.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Its command.
    pub command: &'a str,
    /// Where it ran, when that was not this machine.
    pub place: Option<&'a str>,
}

/// Why an operation that left a record failed; none when it did not.
pub fn failure(exit: &ExitFrame, limit: &str, place: Option<&str>) -> Option<String> {
    if let Some(cannot) = &exit.spawn_error {
        return Some(cannot.message.clone());
    }
    if let Some(stop) = exit.stop.as_ref().filter(|s| s.delivered) {
        return Some(match (stop.reason.as_str(), place) {
            ("timeout", None) => format!("it took longer than {limit}"),
            ("timeout", Some(_)) => format!("timed out after {limit}"),
            (reason, _) => format!("stopped ({reason})"),
        });
    }
    if let Some(signal) = &exit.signal {
        return Some(format!("killed by {signal}"));
    }
    exit.code.filter(|c| *c != 0).map(|c| format!("exit {c}"))
}

/// What is kept of an end, and what is said of it.
pub async fn report(
    data: &Path,
    dir: &str,
    shown: Shown<'_>,
    error: Option<String>,
    exit: Option<Box<ExitFrame>>,
) -> (OperationEnd, Result<(), String>) {
    let gathered = tokio::task::spawn_blocking({
        let (data, dir, exit) = (data.to_owned(), dir.to_owned(), exit.clone());
        move || output::gather(&data, &dir, exit.as_deref())
    })
    .await
    .unwrap_or_default();
    let result = error.as_ref().map_or(Ok(()), |error| Err(words(shown, error, &gathered)));
    let stop = exit.as_ref().and_then(|e| e.stop.as_ref());
    let end = OperationEnd {
        stopped: stop.is_some_and(|s| s.delivered && s.reason != "timeout"),
        status: if error.is_some() { OperationStatus::Failed } else { OperationStatus::Succeeded },
        exit_code: exit.as_ref().and_then(|e| e.code),
        signal: exit.as_ref().and_then(|e| e.signal.clone()),
        error,
        stdout_excerpt: gathered.stdout_excerpt.map(|t| last_chars(&t, EXCERPT)),
        stderr_excerpt: gathered.stderr_excerpt.map(|t| last_chars(&t, EXCERPT)),
    };
    (end, result)
}

/// Why it failed, with what it said itself.
fn words(shown: Shown<'_>, error: &str, output: &RunOutput) -> String {
    let (errors, said) = (output.stderr_excerpt.as_deref(), output.stdout_excerpt.as_deref());
    let Shown { command, place } = shown;
    let command = typed(command);
    let Some(place) = place else {
        let tail = errors.map(tail).filter(|t| !t.is_empty());
        return match tail {
            Some(tail) => format!("{command}: {error}: {tail}"),
            None => format!("{command}: {error}"),
        };
    };
    match errors.and_then(explaining).or_else(|| said.and_then(explaining)) {
        Some(line) => format!("{command} in {place}: {error}: {line}"),
        None => format!("{command} in {place}: {error}"),
    }
}

/// A command without the settings that are given to each git command before its verb: they explain nothing.
fn typed(command: &str) -> String {
    let Some(mut rest) = command.strip_prefix("git ") else { return command.to_owned() };
    while let Some(setting) = rest.strip_prefix("-c ") {
        let mut quoted = false;
        let end = setting.find(|c| {
            quoted ^= c == '\'';
            c == ' ' && !quoted
        });
        let Some(end) = end else { break };
        rest = &setting[end + 1..];
    }
    format!("git {rest}")
}

/// The last whole lines of what was said, without those that count how far something was.
fn tail(text: &str) -> String {
    let lines = text.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty() && !counts(line));
    let lines: Vec<&str> = lines.collect();
    let mut left = TAIL;
    let kept = lines.iter().rev().take_while(|line| {
        let room = left >= line.len();
        left = left.saturating_sub(line.len() + 1);
        room
    });
    let from = lines.len() - kept.count();
    match (lines.get(from..), lines.last()) {
        // One that alone is too long.
        (Some([]) | None, Some(last)) => last_chars(last, TAIL),
        (kept, _) => kept.unwrap_or_default().join("\n"),
    }
}

/// Whether a line is git's progress: `Receiving objects:  98% (297/303)`.
fn counts(line: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    line.split_once("% (").is_some_and(|(before, after)| {
        let share = before.rsplit([' ', ':']).next().is_some_and(digits);
        share && after.split(['/', ')', ',']).next().is_some_and(digits)
    })
}

/// The first line that says what went wrong, else the first one that says anything.
fn explaining(text: &str) -> Option<String> {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let explains = |line: &&str| {
        let line = line.to_lowercase();
        EXPLAINS.iter().any(|word| line.contains(word))
    };
    let line = lines().find(explains).or_else(|| lines().next())?;
    Some(line.chars().take(LINE).collect())
}

/// The last `most` characters.
pub fn last_chars(text: &str, most: usize) -> String {
    let skip = text.chars().count().saturating_sub(most);
    text.chars().skip(skip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_named_by_how_it_ended() {
        let exit = |code: Option<i32>, signal: Option<&str>, stop: Option<&str>| -> ExitFrame {
            let stop = stop.map(|reason| {
                serde_json::json!({ "reason": reason, "asked_ms": 1, "delivered": true, "killed": 0, "survivors": [] })
            });
            serde_json::from_value(serde_json::json!({
                "t": "exit", "v": 1, "code": code, "signal": signal, "core": false, "by": "self", "stop": stop,
                "streams": {}, "leaky": false, "started_ms": 1, "ended_ms": 2,
                "rusage": { "user_us": 1, "sys_us": 1, "maxrss_kib": 1 }, "oom": false,
            }))
            .unwrap()
        };
        let there = Some("box-1 (ssh)");
        let table = [
            (exit(Some(0), None, None), there, None),
            (exit(Some(3), None, None), there, Some("exit 3")),
            (exit(None, Some("SIGKILL"), None), there, Some("killed by SIGKILL")),
            (exit(None, Some("SIGTERM"), Some("timeout")), there, Some("timed out after 5000 ms")),
            (exit(None, Some("SIGTERM"), Some("timeout")), None, Some("it took longer than 5000 ms")),
            (exit(None, Some("SIGTERM"), Some("operator")), there, Some("stopped (operator)")),
        ];
        for (exit, place, words) in table {
            assert_eq!(failure(&exit, "5000 ms", place).as_deref(), words);
        }
    }

    #[test]
    fn a_failure_elsewhere_is_explained_by_one_line() {
        let output = |errors: &str, said: &str| RunOutput {
            stderr_excerpt: Some(errors.into()),
            stdout_excerpt: Some(said.into()),
            ..RunOutput::default()
        };
        let there = Shown { command: "./setup", place: Some("box-1 (ssh)") };
        let table = [
            ("npm warn old\nnpm ERROR no registry\nnpm ERROR log at x\n", "", ": npm ERROR no registry"),
            ("\n  hm\nso\n", "fatal: not this one", ": hm"),
            ("", "begin\nsetup failed\n", ": setup failed"),
            ("\n", " \n", ""),
        ];
        for (errors, said, line) in table {
            assert_eq!(words(there, "exit 3", &output(errors, said)), format!("./setup in box-1 (ssh): exit 3{line}"));
        }
        let git = Shown { command: "git -c core.hooksPath=/dev/null -c 'a b= c' clone --progress u d", place: None };
        let said = "Cloning into 'd'...\nReceiving objects:   1% (4/303)\rReceiving objects:  98% (297/303), 1 MiB\r\n";
        assert_eq!(
            words(git, "it took longer than 5s", &output(said, "")),
            "git clone --progress u d: it took longer than 5s: Cloning into 'd'..."
        );
        // On this machine it is the end of what it said.
        let here = Shown { command: "./setup", place: None };
        assert_eq!(words(here, "exit 3", &output("first error\nlast\n", "")), "./setup: exit 3: first error\nlast");
        let long = format!("{}\n{}\nlast", "a".repeat(500), "b".repeat(500));
        assert_eq!(tail(&long), format!("{}\nlast", "b".repeat(500)));
        assert_eq!(tail(&"c".repeat(700)), "c".repeat(600));
    }
}
