//! Why a service is as it is: the rule that says so, since when and until when, what was seen, what was looked at and
//! is well, and what can be done.
//!
//! Pure over the row and what stands around it, so that the console, `wharf service why` and tests say the same.

use std::collections::BTreeSet;

use super::service_desired::{is_kept, is_reported};
use super::service_off::{self, mark};
use super::workspace_environment::is_inherited;
use crate::config::{CommandLine, LiveCheck, Port, ReadyCheck, RestartPolicy, ServiceConfig};
use crate::{Desired, Kind, ServiceRow, ServiceStatus, UnixMillis, words};

mod ended;
mod live;
mod possible;
mod variable;

pub use variable::unset_variable;

/// What a service stands among.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Around {
    /// The present.
    pub now: UnixMillis,
    /// File and line at which it is configured.
    pub config: Option<(String, u64)>,
    /// Services that must be ready before it, as far as they are not.
    pub waits_for: Vec<Other>,
    /// Services that it was started with and needs, as far as they are not well.
    pub needs: Vec<Need>,
    /// Services that need it and run.
    pub dependents: Vec<Other>,
    /// Who listens on a port that it wants, when that is not its own process: the port, and who.
    pub stranger: Option<(u16, String)>,
    /// Runs that use it.
    pub users: Vec<String>,
    /// The last line it printed, when it is known apart from the row.
    pub last_line: Option<String>,
}

/// Another service, by name and in what state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// `S-3 db`.
    pub name: String,
    /// `starting`, `failed`.
    pub state: String,
}

/// A service that another one needs and that is not well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// `S-3 db`.
    pub name: String,
    /// `parked`, `failed`, `unhealthy`.
    pub state: String,
    /// Since when.
    pub since: Option<UnixMillis>,
}

words! {
    /// What it comes to.
    pub enum Case {
        /// It runs and answers.
        Healthy = "healthy",
        /// It runs, and nothing tells whether it answers.
        Unjudged = "unjudged",
        /// It was started and is not ready yet.
        Starting = "starting",
        /// It waits for services that it needs.
        Waiting = "waiting",
        /// It runs and does not answer.
        Unhealthy = "unhealthy",
        /// It ended and is started again when its pause is over.
        Backoff = "backoff",
        /// It ended again and again; its restarts are used up.
        Parked = "parked",
        /// Somebody else has its port.
        PortTaken = "port_taken",
        /// It did not become ready in time.
        NeverReady = "never_ready",
        /// It could not be started.
        CannotStart = "cannot_start",
        /// It ended, and nothing starts it again.
        Ended = "ended",
        /// Whoever kept it is gone, and what became of it was not seen.
        Lost = "lost",
        /// It was asked to stop.
        Stopping = "stopping",
        /// It was asked to stop, and nobody has seen its end.
        StopOverdue = "stop_overdue",
        /// It does not run, and nobody wants it to.
        Stopped = "stopped",
        /// It is switched off.
        Off = "off",
    }
}

impl Case {
    /// Whether somebody who looks after services should look.
    pub const fn is_trouble(self) -> bool {
        matches!(
            self,
            Self::Waiting
                | Self::Unhealthy
                | Self::Backoff
                | Self::Parked
                | Self::PortTaken
                | Self::NeverReady
                | Self::CannotStart
                | Self::Ended
                | Self::Lost
                | Self::StopOverdue
        )
    }
}

/// Until when it stays so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// A moment, and what happens then.
    At(UnixMillis, String),
    /// Something that has no moment.
    When(String),
    /// Nothing follows by itself.
    YouAct,
}

/// What an operator can press.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Start it.
    Start,
    /// Stop it, or want it stopped.
    Stop,
    /// Start it again.
    Restart,
    /// Open its URL, or the line of its config when it does not run.
    Open,
    /// Read its log.
    Log,
    /// Bring up the one that it waits for.
    Other,
}

/// One thing that can be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The key.
    pub key: Key,
    /// What it does.
    pub does: String,
    /// What comes of it.
    pub remark: String,
    /// The command that does the same; empty where there is none.
    pub command: String,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// What it comes to.
    pub case: Case,
    /// In one sentence.
    pub verdict: String,
    /// The rule that says so; further lines explain it.
    pub rule: Vec<String>,
    /// Since when.
    pub since: Option<UnixMillis>,
    /// Until when.
    pub until: Until,
    /// What was seen, by name.
    pub evidence: Vec<(String, String)>,
    /// What was looked at and is well.
    pub fine: Vec<String>,
    /// What can be done.
    pub actions: Vec<Action>,
}

/// What a rule sees.
struct Seen<'a> {
    row: &'a ServiceRow,
    around: &'a Around,
    config: Option<ServiceConfig>,
}

/// Says why.
pub fn why(row: &ServiceRow, around: &Around) -> Why {
    let seen = Seen { row, around, config: serde_json::from_value(row.config.clone()).ok() };
    let mut why = match row.status {
        ServiceStatus::Starting | ServiceStatus::Running | ServiceStatus::Stopping => live::why(&seen),
        ServiceStatus::Backoff | ServiceStatus::Stopped | ServiceStatus::Failed => ended::why(&seen),
    };
    seen.common(&mut why);
    why
}

impl Seen<'_> {
    fn number(&self) -> String {
        Kind::Service.number(self.row.number)
    }

    fn page(&self, case: Case, verdict: &str, rule: impl Into<String>, until: Until) -> Why {
        Why {
            case,
            verdict: format!("{} {verdict}", self.number()),
            rule: vec![rule.into()],
            since: None,
            until,
            evidence: Vec::new(),
            fine: Vec::new(),
            actions: Vec::new(),
        }
    }

    fn command(&self, verb: &str) -> String {
        format!("wharf service {verb} {}", self.number())
    }

    fn act(&self, key: Key, does: impl Into<String>, remark: impl Into<String>) -> Action {
        let command = match key {
            Key::Start => self.command("start"),
            Key::Stop => self.command("stop"),
            Key::Restart => self.command("restart"),
            Key::Log => self.command("logs"),
            Key::Open | Key::Other => String::new(),
        };
        Action { key, does: does.into(), remark: remark.into(), command }
    }

    /// `wharf.toml line 58`.
    fn place(&self) -> Option<String> {
        self.around.config.as_ref().map(|(file, line)| {
            let name = file.rsplit('/').next().unwrap_or(file);
            format!("{name} line {line}")
        })
    }

    fn with_place(&self, words: String) -> String {
        self.place().map_or(words.clone(), |place| format!("{words} ({place})"))
    }

    /// What can be changed in its config, when it is known where that is.
    fn edit(&self, remark: impl Into<String>) -> Option<Action> {
        let (file, line) = self.around.config.as_ref()?;
        let name = file.rsplit('/').next().unwrap_or(file);
        Some(self.act(Key::Open, format!("open {name} at line {line}"), remark))
    }

    fn policy(&self) -> RestartPolicy {
        self.config.as_ref().map_or(RestartPolicy::Never, |c| c.restart.policy)
    }

    /// Whether it is started again when it ends: by its policy, or because it is meant to run.
    fn restarts(&self) -> bool {
        self.policy() != RestartPolicy::Never || is_kept(self.row)
    }

    /// Restarts that count against the budget now.
    fn spent(&self) -> usize {
        self.row.restart_times.as_ref().and_then(|t| t.as_array()).map_or(0, Vec::len)
    }

    fn budget(&self) -> usize {
        self.config.as_ref().map_or(0, |c| c.restart.max as usize)
    }

    /// `code 1 after 0.4s`.
    fn last_exit(&self) -> Option<String> {
        let how = match (&self.row.signal, self.row.exit_code) {
            (Some(signal), _) if self.row.stop_reason.is_some() => format!("stopped by wharf with {signal}"),
            (Some(signal), _) => format!("killed by {signal}"),
            (None, Some(code)) => format!("code {code}"),
            (None, None) => return None,
        };
        let lived = self.row.started_at.zip(self.row.stopped_at).map(|(from, to)| from.until(to));
        Some(lived.map_or(how.clone(), |ms| format!("{how} after {}", span(ms))))
    }

    /// What the row says went wrong, and the last line of its error output, which stands behind it.
    fn error(&self) -> (Option<String>, Option<String>) {
        const TAIL: &str = "; its last error output: ";
        let Some(error) = self.row.error.as_deref().filter(|e| !e.is_empty()) else {
            return (None, self.around.last_line.clone());
        };
        // Of a parked one its verdict says the rest.
        let error = error.split_once(super::service_restart::AT_LAST).map_or(error, |(_, last)| last);
        let (message, tail) = error.split_once(TAIL).map_or((error, None), |(m, t)| (m, Some(t)));
        let last = tail.and_then(|t| t.lines().map(str::trim).rfind(|l| !l.is_empty())).map(str::to_owned);
        (Some(message.to_owned()), self.around.last_line.clone().or(last))
    }

    /// Names that its process is given.
    fn passed(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> =
            self.config.iter().flat_map(|c| c.env.keys().cloned()).chain(["TERM".to_owned()]).collect();
        if let Some(Port::Auto { env } | Port::Fixed { env, .. }) = self.config.as_ref().map(|c| &c.port) {
            names.insert(env.clone());
        }
        names
    }

    /// A variable that it misses by its own words, and is not given.
    fn missing(&self, line: &str) -> Option<String> {
        let passed = self.passed();
        unset_variable(line).filter(|name| !passed.contains(name) && !is_inherited(name, false))
    }

    /// Exit, last line and missing variable of one that has ended; the name of that variable.
    fn remains(&self, why: &mut Why) -> Option<String> {
        let (message, last) = self.error();
        if let Some(exit) = self.last_exit() {
            why.evidence.push(("last exit".into(), exit));
        }
        if let Some(message) = message.filter(|m| !says_the_exit(m)) {
            why.evidence.push(("error".into(), message));
        }
        let last = last?;
        let missing = self.missing(&last);
        why.evidence.push(("last line".into(), format!("stderr: {last}")));
        let name = missing?;
        let n = self.passed().len();
        let passes = format!("its config passes {n} {}", if n == 1 { "name" } else { "names" });
        why.evidence.push(("environment".into(), format!("{passes}, {name} is not among them")));
        Some(name)
    }

    /// What holds for every case: who wants it, who uses it, who needs it.
    fn common(&self, why: &mut Why) {
        // Those that it waits for before its start are told as such.
        if why.case != Case::Waiting {
            self.needs(why);
        }
        let by = self.row.desired_by.as_ref().map_or(String::new(), |by| format!(", by {by}"));
        let at_odds = match self.row.desired {
            Desired::Running => !self.row.status.is_live(),
            Desired::Stopped => self.row.status.is_live(),
            Desired::Manual => false,
        };
        if at_odds {
            why.evidence.push(("wanted".into(), format!("{}{by}", self.row.desired)));
        }
        if why.case.is_trouble() && !self.around.users.is_empty() {
            why.evidence.push(("used by".into(), self.around.users.join(", ")));
        }
        if why.case.is_trouble() && !self.around.dependents.is_empty() {
            let names: Vec<&str> = self.around.dependents.iter().map(|o| o.name.as_str()).collect();
            why.evidence.push(("needed by".into(), names.join(", ")));
        }
        possible::keep(self, why);
        if is_reported(self.row) {
            let reference = self.row.provider_ref.as_ref().map_or(String::new(), |r| format!(", its id there {r}"));
            why.evidence.push(("kept by".into(), format!("its adapter, not by wharf{reference}")));
        }
    }

    /// What it needs and what is not well: the reason, where it is in trouble itself, and a warning where it is not.
    fn needs(&self, why: &mut Why) {
        let words: Vec<String> = self.around.needs.iter().map(|need| need.words(self.around.now)).collect();
        if words.is_empty() || !self.row.status.is_open() && !why.case.is_trouble() {
            return;
        }
        if why.case.is_trouble() {
            why.rule.push(format!("it needs {}: what is wrong may well come from there", words.join(" and ")));
        }
        for (at, words) in words.into_iter().enumerate() {
            why.evidence.insert(at, ("needs".into(), words));
        }
    }

    /// What its readiness check looks at.
    fn check(&self) -> String {
        match self.config.as_ref().map(|c| &c.ready.check) {
            None | Some(ReadyCheck::None) => "it runs".to_owned(),
            Some(ReadyCheck::Http(url)) => format!("http {}", self.at_port(url)),
            Some(ReadyCheck::Tcp(address)) => format!("tcp {}", self.at_port(address)),
            Some(ReadyCheck::Command(command)) => format!("command {}", first_words(command)),
            Some(ReadyCheck::LogLine(text)) => format!("a line with {text:?}"),
        }
    }

    /// What its liveness check looks at.
    fn liveness(&self) -> Option<String> {
        Some(match &self.config.as_ref()?.live.as_ref()?.check {
            LiveCheck::Http(url) => format!("http {}", self.at_port(url)),
            LiveCheck::Tcp(address) => format!("tcp {}", self.at_port(address)),
            LiveCheck::Command(command) => format!("command {}", first_words(command)),
        })
    }

    /// A template as far as the port says it.
    fn at_port(&self, template: &str) -> String {
        let port = self.row.port.map_or_else(|| "?".to_owned(), |p| p.to_string());
        template.replace("{{port}}", &port).replace("{{ port }}", &port)
    }

    fn is_off(&self) -> Option<&str> {
        service_off::off(self.row)
    }
}

impl Need {
    /// `S-3 db, which is parked since 17:03:05 UTC, 10m ago`.
    fn words(&self, now: UnixMillis) -> String {
        let since = self.since.map_or_else(String::new, |at| {
            let clock = at.rfc3339();
            let time = clock.get(11..19).unwrap_or(&clock);
            format!(" since {time} UTC, {} ago", span(at.until(now)))
        });
        format!("{}, which is {}{since}", self.name, self.state)
    }
}

/// Whether a message says no more than the exit itself does.
fn says_the_exit(message: &str) -> bool {
    let message = message.trim();
    message.starts_with("killed by ") || message.strip_prefix("exit ").is_some_and(|n| n.parse::<i32>().is_ok())
}

/// How it came to its end, in a word or two: `exit 1`, `SIGKILL`, or what wharf stopped it for.
pub fn ending(row: &ServiceRow) -> Option<String> {
    let told = || row.signal.clone().or_else(|| row.exit_code.map(|code| format!("exit {code}")));
    match (row.stop_reason.as_deref(), row.error_code.as_deref()) {
        (Some("start_timeout"), _) => Some("not ready".to_owned()),
        (Some("unhealthy"), _) => Some("unhealthy".to_owned()),
        (None, Some("service_not_ready")) if row.exit_code.is_none() => Some("not ready".to_owned()),
        _ => told(),
    }
}

/// Time between two looks at one without a liveness check, whose readiness is an address.
pub const LIGHT_LOOK_MS: i64 = 30_000;

fn first_words(command: &CommandLine) -> String {
    match command {
        CommandLine::Shell(line) => line.clone(),
        CommandLine::Argv(args) => args.join(" "),
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// A time as people say it: `0.4s`, `60s`, `10m`, `2h`.
pub fn span(ms: i64) -> String {
    let ms = ms.max(0);
    match ms {
        0..10_000 if ms % 1000 != 0 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        0..120_000 => format!("{}s", ms / 1000),
        120_000..7_200_000 if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        120_000..7_200_000 => format!("{}m{:02}", ms / 60_000, ms % 60_000 / 1000),
        _ => format!("{}h", ms / 3_600_000),
    }
}

#[cfg(test)]
mod tests;
